"""Where alerts go. A sink never decides whether there is something to say."""
