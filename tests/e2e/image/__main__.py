"""Build the images that the end-to-end tests need: ``python -m e2e.image``."""

from e2e.image.guest import guest_image
from e2e.image.node import node_root, our_packages

if __name__ == "__main__":
    guest_image()
    node_root(our_packages())
