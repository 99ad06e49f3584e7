"""Four sandbox SDKs as their documents describe them, on the client of this package.

`sandbox`, `sandbox_sdk`, `llm_sandbox` and `cloud_sandbox` have the originals' names and semantics.
They are imported from here; the distribution `warmcell-compat` puts them under their own names.
"""
