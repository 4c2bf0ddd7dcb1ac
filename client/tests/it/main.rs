//! Integration tests of the client, one binary.

mod cluster;
