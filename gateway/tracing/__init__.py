"""The exporter of traces: a process of its own, so that it can starve neither probes nor traffic."""
