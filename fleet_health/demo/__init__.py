"""The demo: a real receiver and journal, hosts that upload, the service, and a screen that shows them."""
