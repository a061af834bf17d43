"""A DICOM segmentation that refers to the series it was made of, as a PACS takes it.

The label map is brought onto the slices of the series by reordering, cutting and padding alone;
where that would move a voxel or lose a labelled one, it is refused. Segments are numbered from 1
in the order of the task. Frames without any segment are left out. DICOM demands that patient and
study are those of the series: these fields go from its headers into the file, and nowhere else.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Integer, Shaped

from medseg import files
from medseg.errors import MedsegError, OutputError, UsageError
from medseg.export import PLAIN, Frames, Reference, Settings, slicer
from medseg.export.slicer import Segment
from medseg.formats import dicom
from medseg.formats.dicom import Series
from medseg.formats.dicom.segments import quiet
from medseg.segmentation import Segmentation
from medseg.shapes import Affine
from medseg.task import Task
from medseg.version import __version__
from medseg.volume import Grid

FORMAT: Final = "dicom-seg"
SUFFIX: Final = ".dcm"
NEEDS_SERIES: Final = True

Numbered = Integer[np.ndarray, "slices rows columns"]
"""A number of a segment at every voxel; 0 is none."""

Stacked = Shaped[np.ndarray, "slices rows columns segments"]
"""A mask for every segment."""

_LPS_FROM_RAS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])
_OFF_GRID: Final = 1e-3
"""How far voxels may lie from those of the series: of a voxel, and of a direction cosine."""
_LONGEST: Final = 64
_LONGEST_NAME: Final = 16
_SERIES_NUMBER: Final = 300
_MANUFACTURER: Final = "medseg"
_MAY_BE_EMPTY: Final = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime"),
)
"""Fields that DICOM demands and allows to be empty; anonymised series may lack them."""


def write(path: Path, segmentation: Segmentation, settings: Settings = PLAIN) -> None:
    """Write the segmentation, read it back with highdicom, and compare it voxel for voxel.

    Raises:
        ImageError: The reference is no DICOM series, or cannot be read.
        UsageError: There is no reference, it does not fit the segmentation, or overlapping regions
            should go into a label map.
        OutputError: It cannot be written, the series' headers do not allow it, or what was read
            back differs.
    """
    if settings.regions and settings.frames == "labelmap":
        raise UsageError(
            "regions overlap, and a DICOM label map holds one number per voxel",
            remedy="Leave the regions or the label map away",
        )
    shown = slicer.segments(segmentation.task, with_regions=settings.regions)
    with dicom.series_in(*_only_series(settings.reference, path)) as series:
        placed = _onto(segmentation, series.grid, path)
        pixels = _numbered(placed, shown)
        if settings.regions:
            pixels = _masks(placed, shown, segmentation.task)
        with _without_headers(path):
            made = _made(pixels, series, segmentation.task, shown, settings.frames)
            with files.replacing(path) as temporary:
                made.save_as(temporary)
                if not _reads_back(temporary, pixels, made):
                    raise files.altered(path)


def _only_series(reference: Reference | None, path: Path) -> tuple[Path, Any]:
    if reference is None:
        raise UsageError(
            "a DICOM segmentation refers to a DICOM series, and none was named",
            where=path,
            remedy="Name the folder or zip file of the series with --reference",
        )
    return reference.images[0], reference.choice


@contextlib.contextmanager
def _without_headers(path: Path) -> Iterator[None]:
    """Keep what pydicom and highdicom say from users and reports: it may quote a header."""
    try:
        with quiet():
            yield
    except (MedsegError, OSError):
        raise
    except Exception as error:
        kind = type(error).__name__
    else:
        return
    raise OutputError(
        f"cannot be made: the headers of the series do not allow it ({kind})",
        where=path,
        remedy="Check that the series is one of CT, MR or PET with the patient and study filled in",
    ) from None


def _onto(segmentation: Segmentation, grid: Grid, path: Path) -> Numbered:
    """Return the label map on the slices of the series."""
    import highdicom

    source = segmentation.grid
    volume = highdicom.Volume(segmentation.label_map, _lps(source.affine), "PATIENT")
    k, j, i = 2, 1, 0
    target = highdicom.VolumeGeometry(
        _lps(grid.affine)[:, [k, j, i, 3]], [grid.shape[axis] for axis in (k, j, i)], "PATIENT"
    )
    try:
        placed = volume.match_geometry(target, tol=_OFF_GRID).array
    except (RuntimeError, ValueError):
        placed = None
    if placed is None or np.count_nonzero(placed) != np.count_nonzero(segmentation.label_map):
        raise UsageError(
            "lies on another grid than the series: its voxels are not among those of the slices",
            where=path,
            remedy="Name the series that was segmented, or segment this one",
        )
    return placed


def _lps(affine: Affine) -> Affine:
    return _LPS_FROM_RAS @ affine


def _numbered(placed: Numbered, shown: Sequence[Segment]) -> Numbered:
    """Return the label map with the numbers of the segments, which have no gaps."""
    numbers = np.zeros(1 + max(segment.value for segment in shown), dtype=np.uint16)
    for number, segment in enumerate(shown, start=1):
        numbers[segment.value] = number
    return numbers[placed].astype(np.uint8 if len(shown) < 256 else np.uint16)


def _masks(placed: Numbered, shown: Sequence[Segment], task: Task) -> Stacked:
    masks = [slicer.mask_of(segment, placed, task) for segment in shown]
    return np.stack(masks, axis=-1).astype(np.uint8)


def _made(
    pixels: Numbered | Stacked,
    series: Series,
    task: Task,
    shown: Sequence[Segment],
    frames: Frames,
) -> Any:
    """Return the DICOM segmentation with one frame for each slice and segment."""
    import highdicom

    made = highdicom.seg.Segmentation(
        source_images=_slices(series),
        pixel_array=pixels,
        segmentation_type=frames.upper(),
        segment_descriptions=[
            _description(number, segment, task) for number, segment in enumerate(shown, start=1)
        ],
        series_instance_uid=highdicom.UID(),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        specific_character_set="ISO_IR 192",
        manufacturer=_MANUFACTURER,
        manufacturer_model_name=_MANUFACTURER,
        software_versions=__version__,
        device_serial_number="0",
        series_description=f"{_MANUFACTURER} {task.name}: research use only"[:_LONGEST],
        omit_empty_frames=bool(pixels.any()),  # a file needs a frame
        content_label=re.sub(r"[^A-Z0-9_ ]", "_", task.name.upper())[:_LONGEST_NAME],
    )
    made.ContentCreatorName = ""  # nobody, but the field must be there
    return made


def _slices(series: Series) -> list[Any]:
    """Return the headers of the slices, completed where anonymised files lack what DICOM demands.

    Study and series get identifiers made of those of the slices, the same every time.
    """
    from pydicom import dcmread
    from pydicom.uid import generate_uid

    slices = [dcmread(path, stop_before_pixels=True) for path in series.paths]
    for part in slices:
        for keyword in _MAY_BE_EMPTY:
            part.setdefault(keyword, "")
        for keyword in ("SOPClassUID", "SOPInstanceUID"):
            told = part.file_meta.get(f"MediaStorage{keyword}")
            setattr(part, keyword, part.get(keyword) or told)
    known = [str(part.SOPInstanceUID) for part in slices]
    for part in slices:
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID"):
            made = generate_uid(entropy_srcs=[keyword, *known])
            setattr(part, keyword, part.get(keyword) or made)
    _require_identified(slices)
    return slices


def _require_identified(slices: list[Any]) -> None:
    for keyword in ("SOPClassUID", "SOPInstanceUID", "FrameOfReferenceUID"):
        if not all(part.get(keyword) for part in slices):
            raise OutputError(
                f"the slices of the series lack {keyword}, without which nothing can refer to them",
                remedy="Export the series anew from the scanner or archive",
            )


def _description(number: int, segment: Segment, task: Task) -> Any:
    import highdicom
    from pydicom.sr.codedict import codes

    appearance = segment.appearance
    region = task.region_code_of(appearance)
    description = highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=segment.title[:_LONGEST],
        segmented_property_category=_concept(appearance.category),
        segmented_property_type=_concept(appearance.code),
        anatomic_regions=None if region is None else [_concept(region)],
        algorithm_type="AUTOMATIC",
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=_MANUFACTURER,
            version=__version__,
            family=codes.cid7162.ArtificialIntelligence,
        ),
        tracking_id=segment.key,
        tracking_uid=highdicom.UID(),
        display_color=highdicom.color.CIELabColor.from_rgb(*appearance.rgb),
    )
    if appearance.modifier is not None:
        kind = description.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = [_concept(appearance.modifier)]
    return description


def _concept(code: str) -> Any:
    from highdicom.sr import CodedConcept

    scheme, value, meaning = code.split("^")
    return CodedConcept(value=value, scheme_designator=scheme, meaning=meaning)


def _reads_back(written: Path, pixels: Numbered | Stacked, made: Any) -> bool:
    import highdicom

    read = highdicom.seg.segread(written)
    found = read.get_pixels_by_source_instance(
        [instance for _, _, instance in made.get_source_image_uids()],
        assert_missing_frames_are_empty=True,
        combine_segments=pixels.ndim == 3,
    )
    return np.array_equal(found, pixels)
