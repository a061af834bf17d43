import pytest
from MedSegLib.call import Call
from MedSegLib.process import Line

from tests.slicer.stand_ins import Process


def called(*errors, code):
    call = Call(Process([Line(text, True) for text in errors], code=code))
    call.update()
    assert call.finished
    return call


def test_output_and_log_grow_until_the_end():
    process = Process([Line("a", False)], [Line("note", True)], [Line("b", False)])
    call = Call(process)
    call.update()
    assert (call.output, call.log, call.finished) == (["a"], [], False)
    call.update()
    call.update()
    call.update()
    assert (call.output, call.log, call.finished, call.error) == (["a", "b"], ["note"], True, None)


def test_the_error_is_the_one_that_medseg_tells_with_all_its_lines():
    call = called("Model: m", "medseg: a.nii: is constant.", "  Export it anew.", code=3)
    assert call.error == "a.nii: is constant.\n  Export it anew."


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        (["", "ImportError: libfoo"], "ImportError: libfoo"),
        ([], "medseg ended with code 1 and said nothing"),
    ],
)
def test_another_program_s_error_is_told_as_it_is(errors, told):
    assert called(*errors, code=1).error == told


def test_what_the_user_stops_is_no_error_of_medseg():
    process = Process([], [])
    call = Call(process)
    call.cancel()
    call.update()
    assert (call.cancelled, call.error, process.stops) == (True, "stopped", [False])
    call.cancel()
    assert process.stops == [False]


def test_what_was_stopped_from_elsewhere_is_stopped_too():
    assert called("medseg: stopped", code=130).cancelled
