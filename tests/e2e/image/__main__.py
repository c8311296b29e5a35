"""Build the images that the end-to-end tests need: ``python -m e2e.image``."""

from e2e.lab.lab import build_images

if __name__ == "__main__":
    build_images()
