"""One use case a file: options in, result out, no printing."""
