"""The page: how the fleet fares, in a browser. It is made from the documents, and derives nothing that they do not say.

Only `pages` is imported by the service as it starts. The rest, and Jinja, come with the first page that is asked for.
"""
