import pytest
import torch

from speechcli.errors import OutOfMemory
from speechcli.pipelines.recognition.backoff import BackOff


def worker(limit, error, calls):
    def work(items):
        calls.append(len(items))
        if len(items) > limit:
            raise error
        return [item * 10 for item in items]

    return work


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_batch_is_halved_until_it_fits_and_stays_small(error):
    calls = []
    back_off = BackOff()
    work = worker(2, error, calls)
    results = list(back_off.run(work, list(range(7))))
    assert [item for part, _ in results for item in part] == list(range(7))
    assert [value for _, values in results for value in values] == [item * 10 for item in range(7)]
    assert calls == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    calls.clear()
    list(back_off.run(work, [1, 2, 3]))
    assert calls == [1, 1, 1]


def test_an_item_that_never_fits_is_an_error_and_the_others_are_processed():
    def work(items):
        if "big" in items:
            raise MemoryError
        return list(items)

    results = list(BackOff().run(work, ["a", "big", "b"]))
    assert [(list(part), type(found)) for part, found in results] == [
        (["a"], list),
        (["big"], OutOfMemory),
        (["b"], list),
    ]


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="shapes"):
        list(BackOff().run(worker(0, RuntimeError("shapes do not fit"), []), [1]))
