"""The one exception for input that a person can correct."""


class InputError(ValueError):
    """Bad input; the message names the file or parameter, what was found, what was expected, and what to do.

    The command line prints it without a traceback and exits with code 2.
    """
