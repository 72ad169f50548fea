use super::*;

#[test]
fn messages_are_got_deleted_and_purged() {
    on_cores(|cluster| {
        cluster.api("STREAM.CREATE.S", r#"{"name":"S","subjects":["s.>"]}"#);
        cluster.publish("s.1", "", "", b"hello");
        cluster.publish("s.2", "", "NATS/1.0\r\nA: b\r\n\r\n", b"hello");
        cluster.publish("s.3", "", "", b"x");
        const BAD: &str = r#"{"type":"%.stream_msg_get_response","error":{"code":400,"err_code":10003,"description":"bad request"}}"#;
        const NONE: &str = r#"{"type":"%.stream_msg_get_response","error":{"code":404,"err_code":10037,"description":"no message found"}}"#;
        const FIRST: &str = r#"{"type":"%.stream_msg_get_response","message":{"subject":"s.1","seq":1,"data":"aGVsbG8=","time":"TIME"}}"#;
        const THIRD: &str = r#"{"type":"%.stream_msg_get_response","message":{"subject":"s.3","seq":3,"data":"eA==","time":"TIME"}}"#;
        let get = |body| ("STREAM.MSG.GET.S", body);
        for (body, expected) in [
            ("", BAD),
            ("null", BAD),
            (r#"{"seq":0}"#, BAD),
            (r#"{"seq":1,"last_by_subj":"s.1"}"#, BAD),
            (r#"{"last_by_subj":"s.1","next_by_subj":"s.1"}"#, BAD),
            (r#"{"seq":1,"batch":2}"#, BAD),
            (r#"{"multi_last":["s.1"]}"#, BAD),
            (r#"{"seq":1}"#, FIRST),
            (r#"{"last_by_subj":"s.1"}"#, FIRST),
            (r#"{"next_by_subj":"s.>"}"#, FIRST),
            (r#"{"start_time":"2020-01-01T00:00:00Z"}"#, FIRST),
            (r#"{"last_by_subj":"s.*"}"#, THIRD),
            (r#"{"next_by_subj":"s.3","seq":2}"#, THIRD),
            (r#"{"seq":9}"#, NONE),
            (r#"{"last_by_subj":"zz"}"#, NONE),
            (
                r#"{"seq":2}"#,
                r#"{"type":"%.stream_msg_get_response","message":{"subject":"s.2","seq":2,"hdrs":"TkFUUy8xLjANCkE6IGINCg0K","data":"aGVsbG8=","time":"TIME"}}"#,
            ),
            (
                r#"{"seq":2,"no_hdr":true}"#,
                r#"{"type":"%.stream_msg_get_response","message":{"subject":"s.2","seq":2,"data":"aGVsbG8=","time":"TIME"}}"#,
            ),
            (
                r#"{"x":1}"#,
                r#"{"type":"%.stream_msg_get_response","error":{"code":400,"err_code":10025,"description":"invalid JSON: json: unknown field \"x\""}}"#,
            ),
        ] {
            let (subject, body) = get(body);
            expect(cluster, &[(subject, body, expected)]);
        }
        expect(
            cluster,
            &[
                (
                    "STREAM.MSG.GET.Z",
                    r#"{"seq":1}"#,
                    r#"{"type":"%.stream_msg_get_response","error":{"code":404,"err_code":10059,"description":"stream not found"}}"#,
                ),
                (
                    "STREAM.MSG.DELETE.S",
                    "",
                    r#"{"type":"%.stream_msg_delete_response","error":{"code":400,"err_code":10003,"description":"bad request"}}"#,
                ),
                (
                    "STREAM.MSG.DELETE.S",
                    r#"{"seq":2}"#,
                    r#"{"type":"%.stream_msg_delete_response","success":true}"#,
                ),
                (
                    "STREAM.MSG.DELETE.S",
                    r#"{"seq":2}"#,
                    r#"{"type":"%.stream_msg_delete_response","error":{"code":400,"err_code":10043,"description":"sequence 2 not found"}}"#,
                ),
                (
                    "STREAM.MSG.DELETE.S",
                    r#"{"seq":9}"#,
                    r#"{"type":"%.stream_msg_delete_response","error":{"code":500,"err_code":10057,"description":"stream store EOF"}}"#,
                ),
                (
                    "STREAM.MSG.DELETE.S",
                    "null",
                    r#"{"type":"%.stream_msg_delete_response","error":{"code":500,"err_code":10057,"description":"no message found"}}"#,
                ),
                (
                    "STREAM.PURGE.S",
                    r#"{"seq":1,"keep":1}"#,
                    r#"{"type":"%.stream_purge_response","error":{"code":400,"err_code":10003,"description":"bad request"},"purged":0}"#,
                ),
                (
                    "STREAM.PURGE.S",
                    r#"{"filter":"q.>"}"#,
                    r#"{"type":"%.stream_purge_response","success":true,"purged":0}"#,
                ),
                (
                    "STREAM.PURGE.S",
                    "null",
                    r#"{"type":"%.stream_purge_response","success":true,"purged":2}"#,
                ),
                (
                    "STREAM.PURGE.Z",
                    "",
                    r#"{"type":"%.stream_purge_response","error":{"code":404,"err_code":10059,"description":"stream not found"},"purged":0}"#,
                ),
            ],
        );
    });
}
