"""The same job on a Ray cluster: paths go out, rows of the manifest come back.

Each worker holds a model; it decodes, segments, writes and renames as one process would. Tasks are
small lists of inputs. A worker that dies is started again by Ray, and its list goes to the next
one that is free; what it had written is written again, the same, and a row stands in the manifest
only when a list came back. An input that ends its worker again and again is recorded as failed.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from modelscope_vitadapter.errors import VitAdapterError
from modelscope_vitadapter.prediction.job import Job, Work, failure
from modelscope_vitadapter.prediction.manifest import Row

TASK_SIZE = 8
"""Inputs of a task: as many as may be done twice when a worker dies."""

IN_FLIGHT = 2
"""Tasks of each worker, so that it has the next one at hand."""

TRIES = 3
"""How often a task may end its worker before its inputs are sent one by one, and an input before
it is recorded as failed."""


@dataclass(frozen=True)
class Cluster:
    """Where and with what a job runs."""

    workers: int
    address: str | None = None  # of a cluster that runs; None starts one on this machine
    cpus: float = 1.0  # of each worker
    gpus: float = 0.0
    model: dict[str, Any] = field(default_factory=dict)  # arguments of `start.open_model`


class Worker:
    """What runs in a process of the cluster."""

    def __init__(self, model: dict[str, Any]) -> None:
        from argparse import Namespace

        from modelscope_vitadapter.prediction.start import open_model

        self.segmenter = open_model(Namespace(**model))

    def rows(self, work: list[Work], job: Job) -> list[Row]:
        """Segments and saves some inputs."""
        from modelscope_vitadapter.prediction.engine import segment_items

        return list(segment_items(self.segmenter, work, job))


@dataclass
class _Task:
    work: list[Work]
    worker: Any
    tries: int = 0


def segment_on_cluster(cluster: Cluster, work: Iterable[Work], job: Job) -> Iterator[Row]:
    """Segments inputs on a cluster; as `engine.segment_items`, in no particular order.

    Raises:
        VitAdapterError: Ray is missing, or the cluster can't be reached or has no room.
        OSError: an output can't be written.
    """
    ray = _ray()
    started = not ray.is_initialized()
    if started:
        _connect(ray, cluster)
    try:
        job = replace(job, folder=job.folder.absolute())
        yield from _rows(ray, cluster, map(_placed, work), job)
    finally:
        if started:
            ray.shutdown()


def _placed(work: Work) -> Work:
    """An input by a path that means the same to a process elsewhere."""
    item, name = work
    if isinstance(item.source, str) and "://" not in item.source:
        item = replace(item, source=str(Path(item.source).absolute()))
    return item, name


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise VitAdapterError(
            "--engine ray needs Ray: pip install 'modelscope-vitadapter[ray]'"
        ) from error
    return ray


def _connect(ray: Any, cluster: Cluster) -> None:
    options: dict[str, Any] = {"logging_level": "ERROR", "include_dashboard": False}
    if cluster.address is None:
        options["num_cpus"] = max(1, round(cluster.workers * cluster.cpus))
    else:
        options = {"address": cluster.address, "logging_level": "ERROR"}
    try:
        ray.init(**options, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise VitAdapterError(
            f"the Ray cluster {cluster.address or 'of this machine'} can't be reached ({error}); "
            "start one with `ray start --head`, or check --address"
        ) from error


def _rows(ray: Any, cluster: Cluster, work: Iterator[Work], job: Job) -> Iterator[Row]:
    kind = ray.remote(num_cpus=cluster.cpus, num_gpus=cluster.gpus, max_restarts=-1)(Worker)
    workers = [kind.remote(cluster.model) for _ in range(cluster.workers)]
    running: dict[Any, _Task] = {}
    again: deque[_Task] = deque()
    free = deque(worker for _ in range(IN_FLIGHT) for worker in workers)
    try:
        while True:
            while free:
                task = again.popleft() if again else _Task(list(islice(work, TASK_SIZE)), None)
                if not task.work:
                    break
                task.worker = free.popleft()
                running[task.worker.rows.remote(task.work, job)] = task
            if not running:
                return
            (done,), _ = ray.wait(list(running), num_returns=1)
            task = running.pop(done)
            free.append(task.worker)
            try:
                yield from ray.get(done)
            except ray.exceptions.RayActorError:
                yield from _given_back(task, again, job)
            except ray.exceptions.RayTaskError as error:
                raise error.as_instanceof_cause() from None
    finally:
        for worker in workers:
            ray.kill(worker)


def _given_back(task: _Task, again: deque[_Task], job: Job) -> Iterator[Row]:
    """Puts a task whose worker died back; one input that it always dies of is recorded."""
    task.tries += 1
    if task.tries < TRIES:
        again.append(task)
    elif len(task.work) > 1:
        again.extend(_Task([one], None) for one in task.work)
    else:
        text = f"its worker ended {TRIES} times without a word, as by lack of memory"
        yield failure(task.work[0], job, VitAdapterError(text))
