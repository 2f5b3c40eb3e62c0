"""Who runs the jobs of a study: this process, worker processes, an executor of the caller's, or Dask.

`local` has the first two, `given` the third, `on_dask` the last; `window` submits a few jobs at a time. Of Dask,
`dask_local` starts workers on this machine, `dask_workers` looks after workers anywhere, `luggage` packs the files that
they do not see, and `on_worker` is what happens there.
"""
