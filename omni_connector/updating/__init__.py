"""Updates that cannot hurt, and the way back (CONTRACT §1, R-18, O-07…O-11).

`releases` knows the folders and links, `journal` what was decided, `trial` tries a release on a copy, `process` is the running server,
`staging` has install.sh build a release, `offer` looks at one without building, `steps` puts them in order.
"""
