//! What to say when an address cannot be listened on.

use std::io;

/// One sentence for each reason, with a way to mend it. `setting` says where the address comes from.
pub(crate) fn explain(address: &str, setting: &str, error: &io::Error) -> String {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another process listens there already: stop it, or choose another port; port 0 takes any free one".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address: choose one of its own, 127.0.0.1 for this machine alone or 0.0.0.0 for all"
                .to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "this user may not listen there: choose a port from 1024 on, or give the program the capability \
             CAP_NET_BIND_SERVICE"
                .to_owned()
        }
        io::ErrorKind::InvalidInput => "it is not an address and a port, like 127.0.0.1:8080".to_owned(),
        // What the resolver says has neither a kind nor a number of the system's.
        _ if error.raw_os_error().is_none() => format!("its host name cannot be resolved ({error})"),
        _ => error.to_string(),
    };
    format!("cannot listen on {address}: {why}; {setting} sets the address")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn said(address: &str) -> String {
        let error = TcpListener::bind(address).expect_err("it cannot be bound");
        explain(address, "http.bind", &error)
    }

    #[test]
    fn each_reason_has_its_own_sentence() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(said(&taken.local_addr().unwrap().to_string()).contains("another process listens there"));
        assert!(said("192.0.2.7:8080").contains("this machine has no such address"));
        assert!(said("nowhere.invalid:8080").contains("its host name cannot be resolved"));
        assert!(said("nowhere").contains("it is not an address and a port"));
        // Root may listen anywhere, so this one is made up: EACCES.
        let denied = explain("0.0.0.0:80", "http.bind", &io::Error::from_raw_os_error(13));
        assert!(denied.contains("may not listen there") && denied.ends_with("http.bind sets the address"), "{denied}");
        // EMFILE
        let other = explain("0.0.0.0:80", "http.bind", &io::Error::from_raw_os_error(24));
        assert!(other.contains("open files"), "{other}");
    }
}
