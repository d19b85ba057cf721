"""Recognizers, translators and voices, each in a supervised child process."""
