"""Foreign runtimes: run a published file under another build of its runtime than the one installed.

Two questions that the installed runtime cannot answer: does a phone's processor (Arm) give the same
numbers, and does the oldest runtime that the manifest promises still load the file?

Where to look:
    environments       which builds there are: the register
    cache              where they are kept, complete or not at all
    install            fetch them (``make arm64``, ``make oldest``)
    emulator           an Arm Linux with a Python in it, for machines that are not Arm
    debian             Debian packages, unpacked and not installed
    swift              a Swift compiler, for the tests of the iOS package
    subprocesses       run other programs
    interpreter        the command line that runs a script in an environment
    standalone_runner  that script; it cannot import the project
    execute            images in, probabilities out
    runners            environments as runners of the parity check
"""
