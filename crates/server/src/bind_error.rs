//! Error messages for a listen address that cannot be bound.

use std::io;

/// Returns one sentence with the reason and a remedy. `setting` is the option that sets the address.
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
        // A resolver error has neither a kind nor an OS error number.
        _ if error.raw_os_error().is_none() => format!("its host name cannot be resolved ({error})"),
        _ => error.to_string(),
    };
    format!("cannot listen on {address}: {why}; {setting} sets the address")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn message(address: &str) -> String {
        let error = TcpListener::bind(address).expect_err("it cannot be bound");
        explain(address, "http.bind", &error)
    }

    #[test]
    fn each_error_kind_has_its_own_message() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(message(&taken.local_addr().unwrap().to_string()).contains("another process listens there"));
        assert!(message("192.0.2.7:8080").contains("this machine has no such address"));
        assert!(message("nowhere.invalid:8080").contains("its host name cannot be resolved"));
        assert!(message("nowhere").contains("it is not an address and a port"));
        // EACCES, constructed because root may bind any port.
        let denied = explain("0.0.0.0:80", "http.bind", &io::Error::from_raw_os_error(13));
        assert!(denied.contains("may not listen there") && denied.ends_with("http.bind sets the address"), "{denied}");
        // EMFILE
        let other = explain("0.0.0.0:80", "http.bind", &io::Error::from_raw_os_error(24));
        assert!(other.contains("open files"), "{other}");
    }
}
