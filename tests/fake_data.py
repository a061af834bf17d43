"""Small fake copies of the data sets that may not be redistributed, file for file as downloaded.

`python -m tests.fake_data FORM FOLDER` makes one; `FORMS` lists them. The images are plausible: a
brain with ventricles and a tumour that each sequence shows as it should, an abdomen in Hounsfield
units with organs of the usual size in their places, a heart that contracts.
"""

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import nibabel
import numpy as np

SEQUENCES = ("t1", "t1ce", "t2", "flair")
_TISSUES = {  # in T1, T1ce, T2, FLAIR
    "white": (1.0, 1.0, 0.5, 0.6),
    "grey": (0.7, 0.75, 0.7, 0.8),
    "fluid": (0.25, 0.3, 1.3, 0.2),
    "oedema": (0.6, 0.6, 1.0, 1.3),
    "necrosis": (0.4, 0.45, 1.0, 0.8),
    "enhancing": (0.7, 1.8, 0.8, 1.0),
    "cavity": (0.25, 0.3, 1.3, 0.25),
}
ORGANS = (  # name, HU, centre and half lengths in mm along R, A, S; in the archive's order
    ("spleen", 120, (-95, -40, 60), (30, 40, 45)),
    ("right_kidney", 180, (62, -50, -40), (28, 28, 50)),
    ("left_kidney", 180, (-62, -50, -30), (28, 28, 50)),
    ("gallbladder", 15, (40, 78, -15), (18, 18, 22)),
    ("oesophagus", 50, (5, -30, 115), (11, 11, 25)),
    ("liver", 110, (75, 15, 60), (80, 62, 68)),
    ("stomach", 40, (-55, 50, 40), (45, 42, 50)),
    ("aorta", 200, (-12, -48, 0), (11, 11, 140)),
    ("inferior_vena_cava", 150, (14, -45, 0), (11, 11, 140)),
    ("portal_and_splenic_vein", 160, (12, -12, 5), (30, 15, 14)),
    ("pancreas", 90, (-12, 18, -25), (52, 18, 21)),
    ("right_adrenal_gland", 70, (42, -45, 18), (11, 11, 12)),
    ("left_adrenal_gland", 70, (-40, -45, 28), (11, 11, 12)),
)
_TRANSUNET = {8: 1, 4: 2, 3: 3, 2: 4, 6: 5, 11: 6, 1: 7, 7: 8}
_CASCADE = {1: 1, 2: 2, 3: 3, 4: 4, 11: 5, 6: 6, 7: 7, 8: 8}
_COMPACTED = {1: 1, 2: 2, 3: 3, 4: 4, 6: 5, 7: 6, 8: 7, 11: 8}
_ORIGINAL = {value: value for value in _COMPACTED}


def ellipsoid(places, centre, half):
    return (((places - centre) / half) ** 2).sum(axis=-1) < 1


def places_mm(shape, spacing):
    axes = [(np.arange(n) - (n - 1) / 2) * step for n, step in zip(shape, spacing, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


@functools.cache
def brain(seed, shape=(32, 32, 24)):
    """Return four sequences (T1, T1ce, T2, FLAIR) and the tissue of each voxel."""
    rng = np.random.default_rng(seed)
    places = places_mm(shape, (1, 1, 1))
    tissue = np.full(shape, "", dtype="U9")
    tissue[ellipsoid(places, (0, 0, 0), (14.5, 15, 11))] = "grey"
    tissue[ellipsoid(places, (0, 0, 0), (11.5, 12, 8.5))] = "white"
    for side in (-1, 1):
        tissue[ellipsoid(places, (side * 2.5, 0, 1), (1.6, 5, 2.5))] = "fluid"
    centre = rng.uniform(-1, 1, 3) * (3, 4, 1.5) + (5 * rng.choice([-1, 1]), 0, 0)
    for name, radius in (("oedema", 5.2), ("enhancing", 3.6), ("necrosis", 2.2)):
        tissue[ellipsoid(places, centre, radius * rng.uniform(0.9, 1.1, 3)) & (tissue != "")] = name
    cavity = ellipsoid(places, centre + np.array((0, 4, 0)), (2.0, 2.0, 2.0)) & (tissue != "")
    images = np.zeros((4, *shape))
    for name, contrasts in _TISSUES.items():
        images[:, tissue == name] = np.array(contrasts)[:, None]
    images += 0.05 * rng.standard_normal(images.shape)
    images[:, tissue == ""] = 0
    images = (
        np.maximum(images, (tissue != "") * 0.01) * rng.uniform(300, 900, 4)[:, None, None, None]
    )
    return np.round(images).astype(np.int16), tissue, cavity


def tumour(tissue, values):
    label_map = np.zeros(tissue.shape, np.uint8)
    for name, value in values.items():
        label_map[tissue == name] = value
    return label_map


@functools.cache
def abdomen(seed, shape=(44, 32, 28), spacing=(9.0, 9.0, 10.0)):
    """Return a CT in Hounsfield units and the archive's 13 labels."""
    rng = np.random.default_rng(seed)
    places = places_mm(shape, spacing)
    image = np.full(shape, -1000.0)
    image[ellipsoid(places, (0, 0, 0), (185, 135, 600))] = -90
    image[ellipsoid(places, (0, 0, 0), (165, 115, 600))] = 45
    label_map = np.zeros(shape, np.uint8)
    for value, (_, hounsfield, centre, half) in enumerate(ORGANS, start=1):
        moved = np.array(centre) + rng.uniform(-3, 3, 3)
        mask = ellipsoid(places, moved, np.array(half) * rng.uniform(0.97, 1.05, 3))
        label_map[mask & (label_map == 0)] = value
        image[mask & (label_map == value)] = hounsfield
    image += 12 * rng.standard_normal(shape)
    return np.round(image).astype(np.int16), label_map


@functools.cache
def heart(seed, *, systole, shape=(30, 32, 8), spacing=(4.0, 4.0, 10.0)):
    """Return a short-axis slice stack and 1 right ventricle, 2 myocardium, 3 left ventricle."""
    rng = np.random.default_rng(seed)
    places = places_mm(shape, spacing)
    image = np.full(shape, 60.0)
    radius = (22 if systole else 30) * rng.uniform(0.95, 1.05)
    label_map = np.zeros(shape, np.uint8)
    label_map[ellipsoid(places, (radius, 8, 0), (radius * 0.9, radius, 32))] = 1
    label_map[ellipsoid(places, (-12, 0, 0), (radius + 11, radius + 11, 37))] = 2
    label_map[ellipsoid(places, (-12, 0, 0), (radius, radius, 33))] = 3
    for value, brightness in {1: 190, 2: 90, 3: 210}.items():
        image[label_map == value] = brightness
    image += 8 * rng.standard_normal(shape)
    return np.round(image.clip(0)).astype(np.int16), label_map


def save(path, voxels, spacing=(1.0, 1.0, 1.0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -(np.array(voxels.shape[:3]) - 1) / 2 * spacing
    image = nibabel.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    image.to_filename(path)


def _write(path, document):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))


def _brats(root, name, seed, words, mark, values, ending=".nii.gz", label="seg"):
    images, tissue, cavity = brain(seed)
    for sequence, voxels in zip(words, images, strict=True):
        save(root / name / f"{name}{mark}{sequence}{ending}", voxels)
    label_map = tumour(tissue, values)
    if "cavity" in values:
        label_map[cavity] = values["cavity"]
    if label is not None:
        written = f"{name}{mark}{label}" if label == "seg" else label
        save(root / name / f"{written}{ending}", label_map)


_OLD = {"necrosis": 1, "oedema": 2, "enhancing": 4}
_NEW = {"necrosis": 1, "oedema": 2, "enhancing": 3}
_NEW_WORDS = ("t1n", "t1c", "t2w", "t2f")


def brats_2018(root):
    for seed, grade in enumerate(("HGG", "HGG", "LGG", "LGG")):
        name = f"Brats18_TCIA0{seed}_1_1"
        _brats(root / "MICCAI_BraTS_2018_Data_Training" / grade, name, seed, SEQUENCES, "_", _OLD)


def brats_2020(root):
    folder = root / "MICCAI_BraTS2020_TrainingData"
    for seed, number in enumerate((1, 2, 3, 355)):
        odd = "W39_1998.09.19_Segm" if number == 355 else "seg"
        name = f"BraTS20_Training_{number:03d}"
        _brats(folder, name, seed, SEQUENCES, "_", _OLD, label=odd)
    _write(folder / "name_mapping.csv", "Grade,BraTS_2020_subject_ID\nHGG,BraTS20_Training_001\n")
    validation = root / "MICCAI_BraTS2020_ValidationData"
    _brats(validation, "BraTS20_Validation_001", 9, SEQUENCES, "_", _OLD, label=None)


def brats_2021(root):
    for seed in range(4):
        name = f"BraTS2021_{seed:05d}"
        _brats(root / "BraTS2021_Training_Data", name, seed, SEQUENCES, "_", _OLD)


def brats_kaggle(root):
    for seed in range(4):
        name = f"BraTS20_Training_{seed + 1:03d}"
        folder = root / "BraTS2020_TrainingData" / "MICCAI_BraTS2020_TrainingData"
        _brats(folder, name, seed, SEQUENCES, "_", _OLD, ending=".nii")


def brats_2023(root):
    folder = root / "ASNR-MICCAI-BraTS2023-GLI-Challenge-TrainingData"
    for seed in range(4):
        _brats(folder, f"BraTS-GLI-{seed:05d}-000", seed, _NEW_WORDS, "-", _NEW)


def brats_2024(root):
    for seed, name in enumerate(("00005-100", "00005-101", "00006-100", "00008-100")):
        _brats(
            *(root / "training_data1_v2", f"BraTS-GLI-{name}", seed, _NEW_WORDS, "-"),
            {**_NEW, "cavity": 4},
        )


def _decathlon(root, name, modality, labels, cases, spacing=(1.0, 1.0, 1.0)):
    names = []
    for number, (voxels, label_map) in enumerate(cases, start=1):
        names.append(f"{name.lower()}_{number:03d}")
        save(root / "imagesTr" / f"{names[-1]}.nii.gz", voxels, spacing)
        save(root / "labelsTr" / f"{names[-1]}.nii.gz", label_map, spacing)
        (root / "imagesTr" / f"._{names[-1]}.nii.gz").write_bytes(b"left by macOS")
    last = f"{name.lower()}_{len(names) + 1:03d}"
    save(root / "imagesTs" / f"{last}.nii.gz", cases[0][0], spacing)
    entries = [
        {"image": f"./imagesTr/{each}.nii.gz", "label": f"./labelsTr/{each}.nii.gz"}
        for each in names
    ]
    _write(
        root / "dataset.json",
        {
            "name": name,
            "description": "",
            "licence": "CC-BY-SA 4.0",
            "release": "1.0 01/05/2018",
            "tensorImageSize": "4D" if len(modality) > 1 else "3D",
            "modality": dict(enumerate(modality)),
            "labels": {"0": "background", **labels},
            "numTraining": len(names),
            "numTest": 1,
            "training": entries,
            "test": [f"./imagesTs/{last}.nii.gz"],
        },
    )


def brats_decathlon(root):
    values = {"oedema": 1, "necrosis": 2, "enhancing": 3}
    cases = []
    for seed in range(4):
        (t1, t1ce, t2, flair), tissue, _ = brain(seed)
        cases.append((np.stack([flair, t1, t1ce, t2], axis=-1), tumour(tissue, values)))
    labels = {"1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}
    modality = ("FLAIR", "T1w", "t1gd", "T2w")
    _decathlon(root / "Task01_BrainTumour", "BRATS", modality, labels, cases)


def decathlon_spleen(root):
    cases = []
    for seed in range(4):
        voxels, label_map = abdomen(seed)
        cases.append((voxels, (label_map == 1).astype(np.uint8)))
    spacing = (9.0, 9.0, 10.0)
    _decathlon(root / "Task09_Spleen", "Spleen", ("CT",), {"1": "spleen"}, cases, spacing)


def _renumbered(label_map, values):
    result = np.zeros_like(label_map)
    for there, here in values.items():
        result[label_map == there] = here
    return result


def _synapse(root, values):
    spacing = (9.0, 9.0, 10.0)
    training = root / "RawData" / "Training"
    for number in (1, 2, 5, 6, 7, 35):
        voxels, label_map = abdomen(number)
        save(training / "img" / f"img{number:04d}.nii.gz", voxels, spacing)
        if values is not None:
            label_map = _renumbered(label_map, values)
        save(training / "label" / f"label{number:04d}.nii.gz", label_map, spacing)
    save(root / "RawData" / "Testing" / "img" / "img0061.nii.gz", abdomen(61)[0], spacing)


def synapse(root):
    _synapse(root, None)


def synapse_subset(root):
    _synapse(root, _ORIGINAL)


def synapse_subset_cascade(root):
    _synapse(root, _CASCADE)


def synapse_subset_compacted(root):
    _synapse(root, _COMPACTED)


def _synapse_copies(root, values):
    for number in (1, 2, 5, 6, 7):
        voxels, label_map = abdomen(number)
        label_map = _renumbered(label_map, values).transpose(2, 0, 1)
        image = ((voxels.transpose(2, 0, 1).clip(-125, 275) + 125) / 400).astype(np.float32)
        if number < 5:
            path = root / "test_vol_h5" / f"case{number:04d}.npy.h5"
            path.parent.mkdir(parents=True, exist_ok=True)
            with h5py.File(path, "w") as file:
                file["image"], file["label"] = image, label_map.astype(np.float32)
            continue
        (root / "train_npz").mkdir(parents=True, exist_ok=True)
        for place, (plane, labels) in enumerate(zip(image, label_map, strict=True)):
            path = root / "train_npz" / f"case{number:04d}_slice{place:03d}.npz"
            np.savez(path, image=plane, label=labels.astype(np.float32))


def synapse_copies(root):
    _synapse_copies(root / "Synapse", _TRANSUNET)


def synapse_copies_cascade(root):
    _synapse_copies(root / "Synapse", _CASCADE)


def _acdc(folder, number, *, labelled=True):
    name = f"patient{number:03d}"
    ed, es = (4, 11) if number % 2 else (1, 9)
    _write(
        folder / name / "Info.cfg",
        f"ED: {ed}\nES: {es}\nGroup: DCM\nHeight: 184.0\nNbFrame: 12\nWeight: 95.0\n",
    )
    for frame, systole in ((ed, False), (es, True)):
        voxels, label_map = heart(number, systole=systole)
        stem = f"{name}_frame{frame:02d}"
        save(folder / name / f"{stem}.nii.gz", voxels, (4.0, 4.0, 10.0))
        if labelled:
            save(folder / name / f"{stem}_gt.nii.gz", label_map, (4.0, 4.0, 10.0))
    still = heart(number, systole=False)[0]
    moving = np.stack([still] * 12, axis=-1)
    save(folder / name / f"{name}_4d.nii.gz", moving, (4.0, 4.0, 10.0))


def acdc(root):
    for number in (1, 4, 89, 2, 3):
        _acdc(root / "database" / "training", number)
        citation = root / "database" / "training" / f"patient{number:03d}" / "MANDATORY_CITATION.md"
        _write(citation, "Bernard et al.")
    _acdc(root / "database" / "testing", 101)


def acdc_older(root):
    for number in (1, 4, 89, 2, 3):
        _acdc(root / "training", number)
    _acdc(root / "testing", 101, labelled=False)


def nnunet(root):
    folder = root / "nnUNet_raw" / "Dataset137_BraTS2021"
    names = [f"BraTS2021_{seed:05d}" for seed in range(4)]
    for seed, name in enumerate(names):
        images, tissue, _ = brain(seed)
        for channel, voxels in enumerate(images):
            save(folder / "imagesTr" / f"{name}_{channel:04d}.nii.gz", voxels)
        label_map = tumour(tissue, {"oedema": 1, "necrosis": 2, "enhancing": 3})
        save(folder / "labelsTr" / f"{name}.nii.gz", label_map)
    _write(
        folder / "dataset.json",
        {
            "channel_names": {"0": "T1", "1": "T1ce", "2": "T2", "3": "Flair"},
            "labels": {
                "background": 0,
                "whole tumor": [1, 2, 3],
                "tumor core": [2, 3],
                "enhancing tumor": [3],
            },
            "regions_class_order": [1, 2, 3],
            "numTraining": 4,
            "file_ending": ".nii.gz",
        },
    )
    parts = [
        {"train": [name for name in names if name != held_out], "val": [held_out]}
        for held_out in reversed(names)
    ]
    _write(folder / "splits_final.json", parts)


def _images_and_labels(seed):
    voxels, label_map = abdomen(seed)
    return voxels, _renumbered(label_map, {6: 1, 1: 2})


def folders(root):
    for seed in range(4):
        voxels, label_map = _images_and_labels(seed)
        save(root / "images" / f"scan_{seed}.nii.gz", voxels, (9.0, 9.0, 10.0))
        save(root / "labels" / f"scan_{seed}.nii.gz", label_map, (9.0, 9.0, 10.0))
    _write(root / "labels.json", {"1": "liver", "2": "spleen"})


def case_folders(root):
    for seed in range(4):
        images, tissue, _ = brain(seed)
        for name, voxels in zip(("T1", "T1POST", "T2", "FLAIR"), images, strict=True):
            save(root / f"patient{seed:02d}" / f"{name}.nii.gz", voxels)
        label_map = tumour(tissue, {"oedema": 1, "necrosis": 1, "enhancing": 1})
        save(root / f"patient{seed:02d}" / "lesions.nii.gz", label_map)


def pairs(root):
    for seed in range(4):
        voxels, label_map = _images_and_labels(seed)
        save(root / f"scan_{seed}.nii.gz", voxels, (9.0, 9.0, 10.0))
        save(root / f"scan_{seed}_seg.nii.gz", label_map, (9.0, 9.0, 10.0))


def table(root):
    rows = ["case,patient,ct,label,split"]
    parts = ("training", "training", "training", "test")
    for seed, part in enumerate(parts):
        voxels, label_map = _images_and_labels(seed)
        save(root / "deep" / f"{seed}" / "ct.nii.gz", voxels, (9.0, 9.0, 10.0))
        save(root / "masks" / f"m{seed}.nii.gz", label_map, (9.0, 9.0, 10.0))
        rows.append(f"c{seed},p{seed},deep/{seed}/ct.nii.gz,masks/m{seed}.nii.gz,{part}")
    _write(root / "cases.csv", "\n".join(rows) + "\n")
    _write(root / "labels.json", {"1": "liver", "others": "background"})


FORMS: dict[str, Callable[[Path], None]] = {
    form.__name__: form
    for form in (
        *(brats_2018, brats_2020, brats_2021, brats_kaggle, brats_2023, brats_2024),
        *(brats_decathlon, decathlon_spleen, synapse, synapse_subset, synapse_subset_cascade),
        *(synapse_subset_compacted, synapse_copies, synapse_copies_cascade, acdc, acdc_older),
        *(nnunet, folders, case_folders, pairs, table),
    )
}


if __name__ == "__main__":
    FORMS[sys.argv[1]](Path(sys.argv[2]))
