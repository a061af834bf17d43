import os

from MedSegLib import environment

SLICER = "/opt/Slicer-5.6"


def joined(*folders):
    return os.pathsep.join(folders)


def test_what_points_at_slicer_is_gone_and_what_is_the_user_s_stays():
    given = {
        "HOME": "/home/zoë",
        "PYTHONHOME": f"{SLICER}/lib/Python",
        "PYTHONPATH": f"{SLICER}/lib/Python/site-packages",
        "PYTHONNOUSERSITE": "1",
        "PATH": joined(f"{SLICER}/bin", "/usr/bin", "/opt/Slicer-5.6-tools"),
        "LD_LIBRARY_PATH": joined(f"{SLICER}/lib", "/ext/lib", "/usr/local/cuda/lib64"),
        "QT_PLUGIN_PATH": f"{SLICER}/lib/QtPlugins",
        "SSL_CERT_FILE": f"{SLICER}/share/cacert.pem",
        "CUDA_VISIBLE_DEVICES": "0",
    }
    assert environment.cleaned(given, [SLICER, "/ext", ""]) == {
        "HOME": "/home/zoë",
        "PATH": joined("/usr/bin", "/opt/Slicer-5.6-tools"),
        "LD_LIBRARY_PATH": "/usr/local/cuda/lib64",
        "CUDA_VISIBLE_DEVICES": "0",
        "PYTHONUTF8": "1",
        "PYTHONUNBUFFERED": "1",
    }
    assert "PYTHONHOME" in given


def test_a_certificate_of_the_user_s_own_stays():
    given = {"SSL_CERT_FILE": "/etc/ssl/own.pem"}
    assert environment.cleaned(given, [SLICER])["SSL_CERT_FILE"] == "/etc/ssl/own.pem"


def put_program(folder):
    folder.mkdir(parents=True)
    program = folder / "medseg"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return str(program)


def test_the_program_is_found_on_the_path_before_the_home_folder(tmp_path):
    home, other = tmp_path / "home", tmp_path / "venv" / "bin"
    assert environment.find_program({}, home) is None
    in_home = put_program(home / ".local" / "bin")
    assert environment.find_program({}, home) == in_home
    on_path = put_program(other)
    assert environment.find_program({"PATH": str(other)}, home) == on_path
