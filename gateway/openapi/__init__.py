"""The description of every door for programs that read it: one OpenAPI 3.1 document, served at `/openapi.json`.

It stands above the rooms whose doors it describes, and repeats nothing that they can say: bodies come from the
marshmallow schemas that judge them, problems from the error classes, algorithms and names from the tables in use.
What a document of this form cannot say (what a signature covers, in which order things are checked) is in
docs/wire-protocol.md. `document.describe` puts the parts together; a test holds it against the application's routes,
another sends what it allows to a running gateway and compares the answers.
"""
