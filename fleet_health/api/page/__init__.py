"""The pages: the state of the fleet in a browser. They are made from the documents of the API, and derive nothing else.

The service imports only `pages` when it starts. The rest, and Jinja, are imported for the first request for a page.
"""
