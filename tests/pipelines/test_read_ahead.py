import threading

import pytest

from speechcli.pipelines.recognition.read_ahead import read_ahead


def test_items_come_in_order_and_from_another_thread():
    makers = set()

    def items(stopped):
        for number in range(50):
            makers.add(threading.current_thread())
            yield number

    assert list(read_ahead(items)) == list(range(50))
    assert threading.current_thread() not in makers and len(makers) == 1


def test_one_item_is_made_ahead_and_no_more():
    made = []
    second = threading.Event()

    def items(stopped):
        for number in range(5):
            made.append(number)
            if number == 1:
                second.set()
            yield number

    ahead = read_ahead(items)
    assert next(ahead) == 0 and second.wait(5)
    assert made == [0, 1]
    assert list(ahead) == [1, 2, 3, 4]


def test_an_error_is_raised_where_the_items_are_used():
    def items(stopped):
        yield 1
        raise ValueError("broken")

    ahead = read_ahead(items)
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="broken"):
        next(ahead)


def test_the_thread_ends_with_its_user():
    ended = threading.Event()

    def items(stopped):
        try:
            yield from range(1000)
        finally:
            ended.set()

    ahead = read_ahead(items)
    assert next(ahead) == 0
    ahead.close()
    assert ended.is_set()


def test_closing_the_iterator_stops_and_waits_for_the_item_in_progress():
    ended = threading.Event()

    def items(stopped):
        yield 0
        while not stopped():
            pass
        ended.set()

    ahead = read_ahead(items)
    assert next(ahead) == 0
    ahead.close()
    assert ended.is_set()
