"""What `medseg predict --plan` shows: how much memory each scan will need."""

from medseg import memory
from medseg.data.cases import read_image
from medseg.errors import MedsegError
from medseg.evaluation.text_table import TextTable
from medseg.inference import memory_plan, scan_size
from medseg.inference.cohort import Job, Settings
from medseg.inference.cohort_run import budget
from medseg.inference.memory_plan import Budget, Needs, shown
from medseg.inference.predict import Predictor
from medseg.inference.reduction import Reducing
from medseg.inference.scan_size import ScanSize

_HEADINGS = ("scan", "voxels", "tile", "at once", "memory", "GPU memory")


def memory_table(jobs: list[Job], predictor: Predictor, settings: Settings) -> TextTable:
    """Return the peaks of every scan with the tile that will be used, or why it does not fit."""
    reducing = Reducing(predictor, lambda _: None)
    there = budget(reducing, settings, exact=True)
    several: list[Needs] = []
    rows = tuple(_row(job, reducing.predictor, settings, there, several) for job in jobs)
    together = memory_plan.together(several)
    one_by_one = "" if together <= there.limit else "; too much, so that they go one by one"
    held = memory.resident_bytes()
    title = f"Memory beside the {shown(held)} of the program; at most {shown(there.limit)}"
    if predictor.device.type == "cuda":
        title += f", and {shown(there.on_device)} of the GPU's"
    if len(several) > 1:
        title += f"; while neighbours are read and written {shown(together)}{one_by_one}"
    return TextTable(title, _HEADINGS, rows, words=1)


def _row(
    job: Job, predictor: Predictor, settings: Settings, there: Budget, several: list[Needs]
) -> tuple[str, ...]:
    try:
        size = _size(job, predictor, settings)
        needs = there.fitting_anywhere(size, predictor, where=job.case.name)
    except MedsegError as error:
        return (job.case.name, error.what, "", "", "", "")
    several.append(needs)
    gpu = shown(needs.device) if needs.device else "none"
    shape, tile = ("x".join(map(str, each)) for each in (size.grid.shape, needs.patch))
    return (job.case.name, shape, tile, str(needs.batch), shown(needs.host), gpu)


def _size(job: Job, predictor: Predictor, settings: Settings) -> ScanSize:
    if job.scan.fault is not None:
        raise job.scan.fault
    told = scan_size.of_case(job.case, settings.choice)
    if told is not None:
        return told
    return scan_size.of(read_image(job.case, predictor.bundle.task, settings.choice))
