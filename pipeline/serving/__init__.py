"""The embedded model server: TF Serving's protocols over a directory of versions, in this very process.

    server.serve          what `kembar serve` runs in the foreground
    listener.Listener     the REST port; each connection.Connection gives its requests to app.App
    rpc.GrpcServer        gRPC in the same event loop; prediction.Api answers it
    service.Service       what both have in common: versions, limits, batching, request log
    versions.ModelStore   follows the version directories and pins, and swaps in versions that answer
    folder.load_served    the version in service, for `kembar predict`
    model.LoadedModel     one SavedModel and `predict`
    signatures.ModelSignature  what it takes and gives

Nothing is imported here, and TensorFlow only when a model is loaded, so that `kembar --help` stays fast.
"""
