"""The embedded sample: a real receiver, hosts that upload to it, a real journal, and a view of it all."""
