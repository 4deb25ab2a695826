"""A party that is larger than one machine: its heavy work as Ray actors of an existing Ray cluster.

    >>> import cloven, cloven.ray, ray
    >>> ray.init("auto")
    >>> cloven.party("job.toml", "cloud", accept=digest, helpers=cloven.ray.Helpers(4, num_cpus=8))

The protocol between parties is as ever, over mutual TLS, and so are its bytes: with helpers a party sends what it sends without. What is handed over: the
server's products of an encrypted layer (``encrypted-model``, samples in the clear), a server's sessions with its clients (``encrypted-activation``,
``sealed``), a client's encryption of its data set (``encrypted-model``, encrypted samples). A helper that dies is replaced, and only its own part computed again.

A helper sees what its party sees, keys included: the cluster has to be this party's own. Ray's own connections are not encrypted unless the cluster is set up
so (``RAY_USE_TLS``).
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ray
from ray.util import get_node_ip_address

from cloven import _cloven

_log = logging.getLogger("cloven.ray")

_Answered = Callable[..., None]


class _Actor:
    """What runs in Ray: the library's helper, and where."""

    def __init__(self, version: str, threads: int):
        if version != _cloven.__version__:
            raise RuntimeError(f"this node has cloven {_cloven.__version__}, the party {version}: install the same")
        self._helper = _cloven.Helper(threads)

    def where(self) -> str:
        return f"{get_node_ip_address()} ({ray.get_runtime_context().get_node_id()[:8]})"

    def answer(self, request: bytes) -> bytes:
        return self._helper.answer(request)


class Helpers:
    """A party's helpers, as Ray actors.

    ``count`` helpers (default: as many as the cluster has room for) with ``num_cpus`` processors each, spread over nodes; ``threads`` to compute on (default:
    ``num_cpus``, rounded up). ``resources`` are custom resources that each needs, so as to keep helpers on some nodes. Where this process is connected to no
    cluster it connects to ``address`` (default: the one that runs here, or ``RAY_ADDRESS``). A lost helper is replaced by a new actor; if the cluster has no
    room for one within ``wait`` seconds, another helper does its work too.
    """

    def __init__(
        self,
        count: int | None = None,
        *,
        num_cpus: float = 1,
        threads: int | None = None,
        resources: Mapping[str, float] | None = None,
        address: str | None = None,
        wait: float = 60,
    ):
        if not ray.is_initialized():
            # Of the driver's output only its own: a party's process speaks JSON lines.
            ray.init(address=address or "auto", log_to_driver=False, logging_level=logging.WARNING)
        if count is None:
            count = int(ray.cluster_resources().get("CPU", 0) // num_cpus)
        if count < 1:
            raise ValueError(f"at least one helper is needed; the cluster has {ray.cluster_resources().get('CPU', 0):g} CPUs")
        self.count = count
        """How many there are."""
        self.lost = 0
        """How many were lost so far."""
        self.asked = [0] * count
        """How many requests each was sent so far."""
        self._wait = wait
        self._description = {
            "count": count,
            "num_cpus": num_cpus,
            "threads": threads,
            "resources": dict(resources or {}),
            "address": ray.get_runtime_context().gcs_address,
            "wait": wait,
        }
        self._options = {
            "num_cpus": num_cpus,
            "resources": dict(resources or {}),
            "scheduling_strategy": "SPREAD",
            "max_restarts": 0,
        }
        self._arguments = (_cloven.__version__, threads or max(1, math.ceil(num_cpus)))
        self._lock = threading.Lock()
        self._actors: list[Any] = [None] * count
        # One thread each: requests of a helper stay in order, and nobody else waits for a new actor.
        self._threads = [ThreadPoolExecutor(1, thread_name_prefix=f"cloven-helper-{number}") for number in range(count)]

    def start(self) -> None:
        """Has the actors start, if they have not; what goes wrong is said when they are asked. A party that takes helpers does this."""
        for number, thread in enumerate(self._threads):
            thread.submit(self._actor, number)

    def describe(self) -> dict[str, Any]:
        """What makes the same helpers in another process of this machine."""
        return self._description

    def where(self) -> list[str | None]:
        """The node of each helper that is there."""
        return [None if actor is None else ray.get(actor.where.remote()) for actor in self._actors]

    def ask(self, helper: int, request: bytes, answered: _Answered) -> None:
        """Has helper number ``helper`` answer a request; ``answered(answer)`` or ``answered(None, why, lost)`` follows."""
        self.asked[helper] += 1
        self._threads[helper].submit(self._ask, helper, request, answered)

    def close(self) -> None:
        """Ends all actors; they end with this process in any case."""
        for thread in self._threads:
            thread.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            actors = {actor for actor in self._actors if actor is not None}
            self._actors = [None] * self.count
        for actor in actors:
            ray.kill(actor)

    def _ask(self, helper: int, request: bytes, answered: _Answered) -> None:
        try:
            actor = self._actor(helper)
            done = actor.answer.remote(request).future()
        except TimeoutError as error:
            answered(None, _sentence(error), False)
            return
        except Exception as error:
            answered(None, _sentence(error))
            return

        def finished(done: Any) -> None:
            error = done.exception()
            if error is None:
                answered(done.result())
            else:
                # Nothing of Ray can be called in its own thread.
                self._threads[helper].submit(self._drop, helper, actor, error, answered)

        done.add_done_callback(finished)

    def _actor(self, helper: int) -> Any:
        """The actor that does this helper's work: its own, a new one, or another helper's."""
        with self._lock:
            actor = self._actors[helper]
        if actor is not None:
            return actor
        actor = ray.remote(_Actor).options(**self._options).remote(*self._arguments)
        there, _ = ray.wait([place := actor.where.remote()], timeout=self._wait)
        if there:
            _log.info("helper %d is on %s", helper, ray.get(place))
        else:
            ray.kill(actor)
            actor = self._least_busy(helper)
        with self._lock:
            self._actors[helper] = actor
        return actor

    def _least_busy(self, helper: int) -> Any:
        with self._lock:
            others = [actor for actor in self._actors if actor is not None]
        if not others:
            raise TimeoutError(f"the cluster has had no room for helper {helper} for {self._wait:g} s: it needs {self._options}")
        _log.warning("no room for helper %d within %g s: another helper does its work", helper, self._wait)
        return min(others, key=others.count)

    def _drop(self, helper: int, actor: Any, error: BaseException, answered: _Answered) -> None:
        """Forgets an actor that did not answer, for every helper that it stood for."""
        with self._lock:
            known = [number for number, other in enumerate(self._actors) if other is actor]
            for number in known:
                self._actors[number] = None
            self.lost += bool(known)
        if known:
            _log.warning("helper %d is lost: %s", helper, _sentence(error))
            ray.kill(actor)
        answered(None, _sentence(error))


def _sentence(error: BaseException) -> str:
    """The end of an error's text, where Ray has the cause."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else repr(error)
