"""Data formats that ingestion and external data read (Kusto documentation, "Data formats").

``names`` knows the formats and tells one by a file's name, ``delimited`` reads csv and its kin,
``json_records`` JSON, ``columnar`` parquet and orc, ``avro`` Avro, ``w3c`` web server logs.
"""
