"""Parse bytes to observations or counted rejections. Pure."""
