"""The pages, which show the state of the fleet in a browser. They show only the documents of the API.

The service imports only `pages` at the start. The other modules and Jinja are imported for the first page.
"""
