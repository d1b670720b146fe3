"""Foreign runtimes: run a published file under another build of its runtime than the one installed.

Two questions that the installed runtime cannot answer: does a phone's processor (Arm) give the same
numbers, and does the oldest runtime that the manifest promises still load the file?

Where to look:
    environments  which builds there are: the register
    cache         where they live, whole or not at all
    install       fetch them (``make arm64``, ``make oldest``)
    emulator      an Arm Linux with a Python in it, for machines that are not Arm
    programs      how the programs of others are run
    interpreter   the command line that runs a script in an environment
    runner        that script; it stands alone, the project is not importable there
    execute       images in, probabilities out
"""
