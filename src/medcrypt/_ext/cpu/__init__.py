"""What this processor can run, and which kernels are in use."""

from medcrypt._ext.cpu.detect import features, path, paths

__all__ = ["features", "path", "paths"]
