"""Makes the pictures: goods modelled in Blender, the sample shop, and renders to train on. No part of the package."""
