"""The report page: one HTML file that shows what a report says, without any network.

``sources`` reads the documents, the sections turn them into ``blocks`` (tables, charts, code) and
``html`` turns these into HTML; ``write`` does all of it. Every figure comes from a document.
"""
