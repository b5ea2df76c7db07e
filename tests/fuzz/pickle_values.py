"""Values of hostile pickles, each a string of opcodes that pushes one object."""

from tests.fuzz.pickle_ops import (
    BUILD,
    FALSE,
    GLOBALS,
    NEW_DICT,
    NEW_LIST,
    NEW_TUPLE,
    NEWOBJ,
    NONE,
    NUMBERS,
    PERSISTENT,
    REDUCE,
    TEXTS,
    TRUE,
    call,
    filled,
    named,
    nested_tuples,
    number,
    several,
    storage,
    tensor,
    text,
)

TOUCH = named("tests.fuzz.canary", "touch")
TOUCHED = named("tests.fuzz.canary", "Touched")
ORDERED = named("collections", "OrderedDict")
FIXED = (
    TOUCH + NEW_TUPLE + REDUCE,
    TOUCHED + NEW_TUPLE + NEWOBJ,
    TOUCHED + NEW_TUPLE + NEWOBJ + NEW_DICT + BUILD,
    b"(itests.fuzz.canary\ntouch\n",
    b"(" + TOUCH + b"o",
    b"\x8c\x11tests.fuzz.canary\x8c\x05touch\x93)R",
    call(named("posix", "system"), text("touch canary")),
    call(named("__builtin__", "eval"), text("open('canary', 'w')")),
    call(named("__builtin__", "exec"), text("open('canary', 'w')")),
    call(named("__builtin__", "__import__"), text("tests.fuzz.untouched")),
    call(named("_codecs", "encode"), text("a" * 3000), text("idna")),
    call(named("_codecs", "encode"), text("天" * 9000), text("punycode")),
    call(named("_codecs", "encode"), text("a" * 100), text("zlib")),
    call(named("__builtin__", "bytearray"), number(2**40)),
    call(named("__builtin__", "bytearray"), number(2**28)),
    call(named("torch", "Size"), several(number(-1), number(2**62))),
    call(named("torch", "FloatTensor"), number(2**40)),
    call(named("torch", "FloatTensor"), number(3), number(4)),
    call(named("torch", "FloatStorage"), number(2**40)),
    call(named("torch.storage", "UntypedStorage"), number(2**40)),
    call(named("torch", "device"), text("cuda")),
    call(named("collections", "Counter"), text("aab")),
    nested_tuples(),
    filled(NEW_DICT, nested_tuples(), NONE),
    call(named("__builtin__", "set"), NEW_LIST + nested_tuples() + b"a"),
    call(ORDERED) + filled(NEW_DICT, text("get"), NONE) + BUILD,
    call(ORDERED) + filled(NEW_DICT, text("items"), TRUE) + BUILD,
    call(ORDERED) + filled(NEW_DICT, text("keys"), ORDERED) + BUILD,
)
_SHADOWED = (
    *("is_neg", "untyped_storage", "stride", "storage_offset", "element_size", "detach", "clone"),
    *("is_contiguous", "data", "shape", "requires_grad", "_backward_hooks", "is_floating_point"),
)


def value(choices, depth=2):
    """The opcodes of one value: plain, hostile, or a tensor with odd sizes."""
    kind = choices.below(6 if depth else 3)
    if kind == 0:
        plain = (NONE, TRUE, FALSE, NEW_DICT, NEW_LIST, NEW_TUPLE, number(choices.pick(NUMBERS)))
        return choices.pick((*plain, text(choices.pick(TEXTS))))
    if kind == 1:
        return choices.pick(FIXED)
    if kind == 2:
        return _tensor(choices)
    if kind == 3:
        return _special(choices)
    if kind == 4:
        arguments = [value(choices, depth - 1) for _ in range(choices.below(4))]
        return call(named(*choices.pick(GLOBALS)), *arguments)
    made = value(choices, depth - 1) if choices.chance(50) else call(named(*choices.pick(GLOBALS)))
    state = filled(NEW_DICT, text(choices.pick(TEXTS)), value(choices, depth - 1))
    return made + choices.pick((state, several(state, state), NONE)) + BUILD


def _sizes(choices):
    return [choices.pick((1, 2, 3, 4, 12, *NUMBERS)) for _ in range(choices.below(5))]


def _storage(choices):
    key = choices.pick(("0", "1", "2", "3", "99", "", "../version"))
    kind = choices.pick(("FloatStorage", "LongStorage", "HalfStorage", "QInt8Storage", "NoStorage"))
    if choices.chance(10):
        return choices.pick(FIXED) + PERSISTENT
    place = choices.pick(("cpu", "cpu", "cuda:0", "meta", "天"))
    return storage(key, choices.pick((4, 12, *NUMBERS)), kind, place)


def _tensor(choices):
    shape = _sizes(choices)
    stride = choices.pick((shape, _sizes(choices), [1] * len(shape), [0] * len(shape)))
    return tensor(_storage(choices), choices.pick((0, 0, 1, *NUMBERS)), shape, stride)


def _special(choices):
    """A tensor of a kind that a checkpoint of weights does not hold, or with odd attributes."""
    kind = choices.below(5)
    inner = _tensor(choices)
    if kind == 0:
        state = filled(NEW_DICT, text(choices.pick(_SHADOWED)), value(choices, 0))
        parts = [named("torch._utils", "_rebuild_tensor_v2"), named("torch", "Tensor")]
        arguments = several(_storage(choices), number(0), several(number(4)), several(number(1)))
        arguments = arguments[:-1] + FALSE + call(ORDERED) + b"t"
        return call(named("torch._tensor", "_rebuild_from_type_v2"), *parts, arguments, state)
    if kind == 1:
        layout = call(named("torch.serialization", "_get_layout"), text("torch.sparse_coo"))
        data = several(inner, _tensor(choices), call(named("torch", "Size"), several(number(4))))
        return call(named("torch._utils", "_rebuild_sparse_tensor"), layout, data)
    if kind == 2:
        quantizer = several(named("torch", "per_tensor_affine"), number(1), number(0))
        parts = [_storage(choices), number(0), several(number(4)), several(number(1)), quantizer]
        return call(named("torch._utils", "_rebuild_qtensor"), *parts, FALSE, call(ORDERED))
    if kind == 3:
        function = named("torch._utils", "_rebuild_meta_tensor_no_storage")
        sizes = several(*map(number, _sizes(choices)))
        return call(function, named("torch", "float32"), sizes, sizes, FALSE)
    state = choices.pick((NONE, filled(NEW_DICT, text(choices.pick(_SHADOWED)), value(choices, 0))))
    function = named("torch._utils", "_rebuild_parameter_with_state")
    return call(function, inner, FALSE, call(ORDERED), state)
