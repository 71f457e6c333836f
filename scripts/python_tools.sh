# Sourced: Python with the packages of a requirements file, in target/, made once.
#
# python_tools NAME REQUIREMENTS: sets $python. What is pinned is fetched through pip.
python_tools() {
    local folder=target/python/$1
    python=$PWD/$folder/bin/python
    cmp -s "$2" "$folder/requirements.txt" && return
    rm -rf "$folder"
    python3 -m venv "$folder"
    "$python" -m pip --disable-pip-version-check install --quiet --requirement "$2"
    # Last, so that what was interrupted is made anew.
    cp "$2" "$folder/requirements.txt"
}
