"""One side of a comparison, in a process of its own: a model loaded through ModelScope's pipeline.

Commands come in as lines of JSON on the standard input, answers go out as lines of JSON; whatever
libraries print goes to the standard error. Between commands the process sleeps. It ends at once
when its input is closed, also in the middle of a picture, so it never outlives its starter.

This file runs under the built-in model's Python too, so it imports nothing of its siblings.
"""

import json
import os
import queue
import sys
import threading
import time
import traceback
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

OURS, BUILTIN = "ours", "builtin"
HOME = {OURS: "modelscope_vitadapter", BUILTIN: "modelscope"}


def memory_and_faults():
    """Bytes of the process's largest resident set so far, and its page faults so far."""
    if os.name == "nt":
        return _windows_memory_and_faults()
    import resource

    own = resource.getrusage(resource.RUSAGE_SELF)
    faults = own.ru_minflt + own.ru_majflt
    status = Path("/proc/self/status")
    if status.exists():  # Linux's ru_maxrss would include what the parent held when it forked
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024, faults
    return own.ru_maxrss * (1 if sys.platform == "darwin" else 1024), faults


def _windows_memory_and_faults():
    import ctypes
    from ctypes import wintypes

    sizes = ("peak", "now", "q1", "q2", "q3", "q4", "page_file", "peak_page_file")

    class Counters(ctypes.Structure):
        _fields_ = [
            ("cb", wintypes.DWORD),
            ("faults", wintypes.DWORD),
            *((name, ctypes.c_size_t) for name in sizes),
        ]

    counters = Counters(cb=ctypes.sizeof(Counters))
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    kernel.GetCurrentProcess.restype = wintypes.HANDLE
    ask = kernel.K32GetProcessMemoryInfo
    ask.argtypes = [wintypes.HANDLE, ctypes.POINTER(Counters), wintypes.DWORD]
    if not ask(kernel.GetCurrentProcess(), ctypes.byref(counters), counters.cb):
        raise ctypes.WinError(ctypes.get_last_error())
    return counters.peak, counters.faults


@contextmanager
def measured(into):
    """Adds wall-clock and processor time, page faults and the peak so far to a dict."""
    times, (_, faults), start = os.times(), memory_and_faults(), time.perf_counter()
    yield
    into["wall_s"] = time.perf_counter() - start
    now, (into["peak_bytes"], faults_now) = os.times(), memory_and_faults()
    into["user_s"], into["system_s"] = now.user - times.user, now.system - times.system
    into["page_faults"] = faults_now - faults


def class_map_of(result, classes):
    """Class ids `(H, W)` int32 of a pipeline's result, put together from masks and labels."""
    import numpy as np

    ids = {name: i for i, name in enumerate(classes)}
    class_map = np.full(result["masks"][0].shape, -1, np.int32)
    for mask, label in zip(result["masks"], result["labels"], strict=True):
        class_map[np.asarray(mask, bool)] = ids[label]
    return class_map


class Side:
    """Loads a model of one side and segments pictures with it; each method is a command."""

    def __init__(self):
        self.side = ""
        self.pipe = None

    def load(self, *, side, model_dir, threads, dtype="float32"):
        """Imports the libraries and builds the pipeline, each measured."""
        self.side, answer = side, {"import": {}, "load": {}}
        with measured(answer["import"]):
            import torch
            from modelscope.pipelines import pipeline
            from modelscope.utils.constant import Tasks

            if side == OURS:
                from modelscope_vitadapter import segmenter
                from modelscope_vitadapter.plugin import pipeline as plugin_pipeline

                assert plugin_pipeline, "is imported here to be counted here"
            else:
                import mmdet.models
                from modelscope.models.cv.image_semantic_segmentation import vit_adapter

                assert mmdet.models, vit_adapter
        torch.set_num_threads(threads)
        options = {"torch_dtype": dtype} if side == OURS else {"trust_remote_code": True}
        checkpoint = {}
        if side == OURS:
            load_into = segmenter.load_into

            def timed_load_into(*args, **kwargs):
                with measured(checkpoint):
                    return load_into(*args, **kwargs)

            segmenter.load_into = timed_load_into
        with measured(answer["load"]):
            self.pipe = pipeline(Tasks.image_segmentation, model=model_dir, device="cpu", **options)
        answer["checkpoint"] = checkpoint
        answer["python"] = ".".join(map(str, sys.version_info[:3]))
        answer["torch"], answer["threads"] = torch.__version__, torch.get_num_threads()
        self._check_side()
        return answer

    def _check_side(self):
        home = type(self.pipe.model).__module__.split(".")[0]
        if home != HOME[self.side]:
            raise RuntimeError(
                f"this Python built a model of {home!r} where {HOME[self.side]!r} was to be "
                "measured: the built-in model needs an environment without this package (python "
                "benchmarks/builtin_env.py), the other side one in which it is installed"
            )

    def segment(self, *, picture, options=None):
        """Segments a picture, measured; on this package's side also says the windows' sizes."""
        windows = []

        def note(module, inputs):
            if self.side == OURS:
                windows.extend([list(inputs[0].shape[-2:])] * len(inputs[0]))

        hook = self.pipe.model.model.register_forward_pre_hook(note)
        answer = {"windows": windows}
        try:
            with measured(answer):
                result = self.pipe(picture, **(options or {}))
        finally:
            hook.remove()
        answer["classes"] = len(result["labels"])
        answer["returned_bytes"] = sum(mask.nbytes for mask in result["masks"])
        return answer

    def logits(self, *, picture, out, masks=None):
        """Saves the class and mask logits of every window of a picture and the class map.

        Also where the decoder's queries were allowed to look, as packed bits, layer by layer. With
        `masks`, a file that was saved so by the other side, they look where its queries did.
        """
        import numpy as np

        windows = []
        network = self.pipe.model.model

        def keep_ours(module, inputs, output):
            pairs = zip(output[0], output[1], strict=True)
            windows.extend([(a.float().clone(), b.float().clone()) for a, b in pairs])

        def keep_builtin(module, inputs, output):  # lists of all layers' predictions
            windows.extend(zip(output[0][-1].clone(), output[1][-1].clone(), strict=True))

        hooked = network if self.side == OURS else network.decode_head
        hook = hooked.register_forward_hook(keep_ours if self.side == OURS else keep_builtin)
        try:
            with self._attention_masks(masks) as allowed:
                result = self.pipe(picture)
        finally:
            hook.remove()
        if self.side == BUILTIN:  # one more per window, which no layer attends with
            layers = len(allowed) // len(windows)
            allowed = [one for i, one in enumerate(allowed) if (i + 1) % layers]
        seen = {f"allowed_{i}": one for i, one in enumerate(allowed)}
        for i, (class_logits, mask_logits) in enumerate(windows):
            seen[f"class_logits_{i}"] = class_logits.numpy()
            seen[f"mask_logits_{i}"] = mask_logits.numpy()
        class_map = class_map_of(result, self.pipe.model.CLASSES)
        np.savez(out, class_map=class_map, **seen)
        return {"windows": len(windows)}

    @contextmanager
    def _attention_masks(self, given=None):
        """Collects the thresholded attention masks, or replaces them by those of a file."""
        import numpy as np

        seen, forced = [], None
        if given is not None:
            with np.load(given) as saved:
                forced = [saved[f"allowed_{i}"] for i in range(_count(saved.files, "allowed_"))]

        def keep(allowed):
            seen.append(np.packbits(allowed.numpy()))
            if forced is None:
                return allowed
            bits = np.unpackbits(forced[len(seen) - 1], count=allowed.numel())
            return allowed.new_tensor(bits.reshape(allowed.shape))

        if self.side == OURS:
            from modelscope_vitadapter.network.cpu import decoder as owner

            name, plain = "full_where_empty", owner.full_where_empty
            setattr(owner, name, lambda allowed: plain(keep(allowed)))
        else:
            owner, name = self.pipe.model.model.decode_head, "forward_head"
            plain = owner.forward_head

            def forward_head(*args, **kwargs):
                output = plain(*args, **kwargs)
                keep(~output[2][0])  # of the first head: all are alike
                return output

            owner.forward_head = forward_head
        try:
            yield seen
        finally:
            setattr(owner, name, plain)

    def profile(self, *, picture):
        """Wall-clock time of each part of one picture, without that of parts inside of it."""
        seconds, open_parts = {}, []

        def timed(name, function):
            def call(*args, **kwargs):
                start = time.perf_counter()
                open_parts.append(0.0)
                try:
                    return function(*args, **kwargs)
                finally:
                    took = time.perf_counter() - start
                    seconds[name] = seconds.get(name, 0.0) + took - open_parts.pop()
                    if open_parts:
                        open_parts[-1] += took

            return call

        answer = {"stages": seconds}
        with ExitStack() as stack, measured(answer):
            for owner, function, name in _parts():
                replacement = timed(name, getattr(owner, function))
                stack.enter_context(mock.patch.object(owner, function, replacement))
            self.pipe(picture)
        answer["rest"] = answer["wall_s"] - sum(seconds.values())
        return answer


def _parts():
    """The functions of this package's path on a processor whose time is told, with their names."""
    from modelscope_vitadapter.inference import predictor
    from modelscope_vitadapter.network.cpu import backbone, interaction, segmentor
    from modelscope_vitadapter.network.cpu.deformable import Sampler

    return [
        (backbone, "run_block", "backbone linear"),
        (backbone, "run_attention", "attention"),
        (interaction, "_sampler", "deformable attention"),
        (Sampler, "__call__", "deformable attention"),
        (segmentor, "run_pixel_decoder", "pixel decoder"),
        (segmentor, "run_decoder", "mask decoder"),
        (predictor, "_strip_scores", "resize"),
        (predictor, "pixel_classes", "resize"),
    ]


def _count(names, prefix):
    return sum(name.startswith(prefix) for name in names)


def serve(commands):
    """Answers commands until the input ends.

    Args:
        commands: functions by name; called with the keyword arguments of a command, they return
            what can be written as JSON.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    waiting = queue.SimpleQueue()
    threading.Thread(target=_read_lines, args=(waiting,), daemon=True).start()
    while True:
        command = json.loads(waiting.get())
        name = command.pop("command")
        try:
            answer = commands[name](**command) or {}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _read_lines(waiting):
    for line in sys.stdin:
        waiting.put(line)
    os._exit(0)


def _forget_own_folder():
    """Takes this file's folder out of the import path: its siblings' names are ordinary words."""
    own = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != own]


if __name__ == "__main__":
    _forget_own_folder()
    SIDE = Side()
    serve(
        {name: getattr(SIDE, name) for name in ("load", "segment", "logits", "profile")},
    )
