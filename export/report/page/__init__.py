"""The report page: one HTML file that shows what a report says, without any network.

``sources`` reads the documents, the sections turn them into ``blocks`` (tables, charts, code) and
``html`` writes these down; ``write`` is all of it in order. Every figure comes from a document.
"""
