from medseg.inference import listening
from medseg.inference.listening import Clock, Listener, Silent


def test_the_rest_takes_as_long_per_case_as_what_was_done(monkeypatch):
    now = iter([100.0, 110.0, 112.0, 120.0])
    monkeypatch.setattr(listening.time, "monotonic", lambda: next(now))
    clock = Clock(3)
    assert [clock.seconds_left() for _ in range(3)] == [20.0, 6.0, 0.0]


def test_who_tells_nobody_is_a_listener(capsys):
    silent = Silent()
    assert isinstance(silent, Listener)
    silent.on_start(3, 1)
    silent.on_remark("anything")
    assert capsys.readouterr() == ("", "")
