"""What each statement of a config file does to names, found without evaluating it."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from modelscope_vitadapter.config.templates import Templates

BASE_KEY = "_base_"
_EVALUABLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Delete)

PURE_METHODS = frozenset(
    """
    array asarray capitalize copy count debug deepcopy dumps endswith error format get index
    info items join keys lower lstrip replace rstrip split startswith strip title upper values
    warning zfill
    """.split()  # noqa: SIM905
)
"""Methods that change neither their object nor their arguments, whatever they are called on."""

PURE_FUNCTIONS = frozenset(
    """
    abs all any bool deepcopy dict divmod enumerate float format frozenset hash id int
    isinstance len list max min open print range repr reversed round set slice sorted str sum
    super tuple type zip
    """.split()  # noqa: SIM905
)
"""Functions that don't change their arguments, unless the file binds their name."""


@dataclass(frozen=True)
class CallSite:
    """A call that may change what it is called on or given.

    Attributes:
        node: The call.
        names: Names read in it, whose objects it can reach.
        nested: Inside a comprehension or class, whose own names the module doesn't know.
    """

    node: ast.Call
    names: frozenset[str]
    nested: bool


@dataclass(frozen=True)
class Statement:
    """What a module-level statement does to names, found without evaluating it.

    Attributes:
        node: The statement.
        evaluable: An assignment or deletion; others are never evaluated.
        binds: Names that it binds or deletes.
        hidden: Those of `binds` that it binds inside an expression (`:=`).
        mutates: Names whose objects its targets change in place.
        reads: Names that it reads, also in function bodies.
        base_names: Names of the base files that it reads.
        calls: Calls that may change something.
        star_import: It may bind any name.
    """

    node: ast.stmt
    evaluable: bool
    binds: frozenset[str]
    hidden: frozenset[str]
    mutates: frozenset[str]
    reads: frozenset[str]
    base_names: frozenset[str]
    calls: tuple[CallSite, ...]
    star_import: bool

    @property
    def called(self) -> set[str]:
        """Names whose objects its calls can reach."""
        # Thousands of calls in one comprehension share one set of thousands of names.
        names = {id(call.names): call.names for call in self.calls}
        return set().union(*names.values())

    @property
    def receivers(self) -> set[str]:
        """Names that it changes through, by targets or by calls."""
        return self.called | self.mutates


def root_name(node: ast.expr) -> str | None:
    """The name that subscripts and attributes start from, None where they start otherwise."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def summarise(module: ast.Module, templates: Templates) -> list[Statement]:
    """The statements of a module with what each does to names.

    Args:
        module: A parsed file.
        templates: The templates of that file.
    """
    statements = [_Scan(templates, PURE_FUNCTIONS).statement(node) for node in module.body]
    rebound = PURE_FUNCTIONS.intersection(name for each in statements for name in each.binds)
    if rebound:
        pure = PURE_FUNCTIONS - rebound
        statements = [_Scan(templates, pure).statement(node) for node in module.body]
    return statements


class _Scan(ast.NodeVisitor):
    """Collects what one statement does to names; comprehensions and classes get their own."""

    def __init__(self, templates: Templates, pure_functions: frozenset[str]) -> None:
        self.templates = templates
        self.pure_functions = pure_functions
        self.binds: set[str] = set()
        self.hidden: set[str] = set()
        self.mutates: set[str] = set()
        self.reads: set[str] = set()
        self.base_names: set[str] = set()
        self.calls: list[CallSite] = []
        self.star_import = False

    def statement(self, node: ast.stmt) -> Statement:
        self.visit(node)
        return Statement(
            node=node,
            evaluable=isinstance(node, _EVALUABLE),
            binds=frozenset(self.binds | self.hidden),
            hidden=frozenset(self.hidden),
            mutates=frozenset(self.mutates),
            reads=frozenset(self.reads),
            base_names=frozenset(self.base_names),
            calls=tuple(self.calls),
            star_import=self.star_import,
        )

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.reads.add(node.id)
            self._note_templates(node.id)
        else:
            self.binds.add(node.id)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self._note_templates(node.value)

    def _note_templates(self, text: str) -> None:
        for name in self.templates.names_in(text):
            if name in self.templates.base_paths:
                self.base_names.add(self.templates.base_paths[name][0])

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.value, ast.Name) and node.value.id == BASE_KEY:
            self.base_names.add(node.attr)
        self._visit_target(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if isinstance(node.value, ast.Name) and node.value.id == BASE_KEY:
            key = node.slice
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                self.base_names.add(key.value)
        self._visit_target(node)

    def _visit_target(self, node: ast.Attribute | ast.Subscript) -> None:
        if isinstance(node.ctx, ast.Load):
            self.generic_visit(node)
            return
        root = root_name(node)
        before, self.reads = self.reads, set()
        self.generic_visit(node)
        self.mutates |= self.reads if root is None else {root}
        self._read_before(before)

    def _read_before(self, before: set[str]) -> None:
        """Join what was read so far to what a part reads; the larger set, so far, isn't copied."""
        before |= self.reads
        self.reads = before

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.reads.add(node.target.id)
            self.mutates.add(node.target.id)
        self.generic_visit(node)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.hidden.add(node.target.id)
        self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        before, self.reads = self.reads, set()
        self.generic_visit(node)
        function = node.func
        if isinstance(function, ast.Attribute):
            pure = function.attr in PURE_METHODS
        else:
            pure = isinstance(function, ast.Name) and function.id in self.pure_functions
        if not pure:
            self.calls.append(CallSite(node, frozenset(self.reads), nested=False))
        self._read_before(before)

    def visit_Import(self, node: ast.Import) -> None:
        self.binds |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        names = {alias.asname or alias.name for alias in node.names}
        self.star_import = self.star_import or "*" in names
        self.binds |= names - {"*"}

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self._bind_pattern(node.name, node)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        self._bind_pattern(node.name, node)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        self._bind_pattern(node.name, node)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self._bind_pattern(node.rest, node)

    def _bind_pattern(self, name: str | None, node: ast.AST) -> None:
        if name is not None:
            self.binds.add(name)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.binds.add(node.name)
        self._visit_decorators(node.decorator_list)
        self.visit(node.args)
        for statement in node.body:
            self._visit_body(statement)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit(node.args)
        self._visit_body(node.body)

    def _visit_body(self, body: ast.AST) -> None:
        """What runs only in a call is no change yet, but the function can reach what it reads."""
        for node in ast.walk(body):
            if isinstance(node, ast.Name):
                self.reads.add(node.id)
            elif isinstance(node, ast.Global):
                self.binds.update(node.names)

    def _visit_decorators(self, decorators: list[ast.expr]) -> None:
        before, self.reads = self.reads, set()
        for decorator in decorators:
            self.visit(decorator)
        self.mutates |= self.reads
        self._read_before(before)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.binds.add(node.name)
        self._visit_decorators(node.decorator_list)
        scan = _Scan(self.templates, self.pure_functions)
        for child in (*node.bases, *node.keywords, *node.body):
            scan.visit(child)
        self._merge(scan, frozenset(scan.reads))

    def _visit_comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
    ) -> None:
        before, self.reads = self.reads, set()
        self.visit(node.generators[0].iter)  # in the surrounding scope, unlike the rest
        scan = _Scan(self.templates, self.pure_functions)
        scan.visit(node.generators[0].target)
        for child in ast.iter_child_nodes(node):
            if child is not node.generators[0]:
                scan.visit(child)
        for condition in node.generators[0].ifs:
            scan.visit(condition)
        reads = frozenset(self.reads | scan.reads)
        scan.reads -= scan.binds
        self._merge(scan, reads)
        self._read_before(before)

    visit_ListComp = visit_SetComp = _visit_comprehension  # noqa: N815
    visit_DictComp = visit_GeneratorExp = _visit_comprehension  # noqa: N815

    def _merge(self, inner: _Scan, reads: frozenset[str]) -> None:
        """Take over what an inner scope does, but for the names that it binds for itself.

        Those may stand for anything that the scope reads, so it may change all of that.
        """
        self.hidden |= inner.hidden
        self.mutates |= reads if inner.mutates else set()
        self.reads |= inner.reads
        self.base_names |= inner.base_names
        self.calls += [CallSite(call.node, reads, nested=True) for call in inner.calls]
