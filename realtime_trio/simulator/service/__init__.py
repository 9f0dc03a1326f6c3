"""The service's side of the protocol, without IO: told what arrives and when, asked what is due."""
