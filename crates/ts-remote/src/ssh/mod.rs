//! SSH connections: whom to connect to and how, one owner thread per connection, processes on the machine as channels.
//!
//! What runs through the channels is `worker`'s business.
