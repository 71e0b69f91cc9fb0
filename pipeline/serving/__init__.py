"""The embedded model server: TF Serving's REST protocol over a directory of versions, in this very process.

    server.serve          what `kembar serve` runs in the foreground
    app.create_app        the same as an ASGI application
    versions.ModelStore   follows the version directories and swaps in the newest that answers
    versions.load_latest  the newest version, for `kembar predict`
    model.LoadedModel     one SavedModel: its signatures and `predict`

Nothing is imported here, and TensorFlow only when a model is loaded, so that `kembar --help` stays fast.
"""
