# Sourced by what builds: makes an environment to build in.

# pip, as this Python brings it, is unpacked and not installed: ensurepip would compile all of it and of setuptools, and
# that takes longer than the build itself, half a minute on a small machine.
unpack_pip='
import glob, os, sys, sysconfig, zipfile
try:
    import ensurepip
except ImportError:
    sys.exit(f"{sys.executable} has no pip to build with; on Debian it is in the package python3-venv")
places = (sysconfig.get_config_var("WHEEL_PKG_DIR"), os.path.join(os.path.dirname(ensurepip.__file__), "_bundled"))
wheels = [wheel for place in places if place for wheel in sorted(glob.glob(os.path.join(place, "pip-*.whl")))]
zipfile.ZipFile(wheels[0]).extractall(sysconfig.get_path("purelib"))
'

build_environment() { # PYTHON DIR: it has pip, and nothing else
  "$1" -I -m venv --without-pip "$2" && "$2/bin/python" -I -c "$unpack_pip"
}
