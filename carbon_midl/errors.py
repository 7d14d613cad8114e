"""The one exception for input that a person can put right."""


class InputError(ValueError):
    """Bad input; the message names the file or parameter, what was found, what was expected and the way out.

    The command line prints it without a traceback and exits with code 2.
    """
