//! Requests as operations, and results as answers.

use super::*;
use twindisk_mirror::NotReady;

#[test]
fn an_unknown_outcome_is_no_aborted_command_which_initiators_repeat() {
    let answered = Answer::default().response(HostResult::Unknown);
    assert_eq!(answered, Response::check(Sense::OUTCOME_UNKNOWN));
    assert_eq!(
        Sense::OUTCOME_UNKNOWN.to_fixed()[2..=12],
        [0x04, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x44]
    );
}

#[test]
fn a_write_is_cut_to_what_its_cdb_asks_for() {
    let data = vec![
        Bytes::from_static(b"abc"),
        Bytes::from_static(b"defg"),
        Bytes::from_static(b"h"),
    ];
    let plan = plan(
        IoRequest::Write {
            offset_bytes: 512,
            len_bytes: 5,
            asked_bytes: 512,
            fua: true,
        },
        data,
    );
    assert!(plan.todo.is_empty());
    let HostOp::Change { change, fua: true } = plan.first else {
        panic!("{:?}", plan.first)
    };
    let answered = plan.answer.response(HostResult::Done);
    assert_eq!(answered, Response::good().moving(512));
    assert_eq!((change.offset, change.len_bytes), (512, 5));
    let ChangeKind::Write(payload) = change.kind else {
        panic!("{:?}", change.kind)
    };
    assert_eq!(&payload.to_contiguous()[..], b"abcde");
}

#[test]
fn a_read_that_forces_unit_access_flushes_first() {
    let plan = plan(
        IoRequest::Read {
            offset_bytes: 0,
            len_bytes: 512,
            fua: true,
        },
        Vec::new(),
    );
    assert_eq!(plan.first, HostOp::Flush);
    assert_eq!(
        plan.todo,
        [HostOp::Read {
            offset: 0,
            len_bytes: 512
        }]
    );
}

#[test]
fn a_long_unmap_is_done_in_pieces_that_cover_it() {
    let Plan {
        first, todo: rest, ..
    } = plan(
        IoRequest::Unmap(vec![(4096, UNMAP_PIECE_BYTES + 512), (1 << 40, 512)]),
        Vec::new(),
    );
    let ranges: Vec<_> = std::iter::once(first)
        .chain(rest)
        .map(|op| match op {
            HostOp::Change { change, fua: false } => (change.offset, change.len_bytes),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        ranges,
        [
            (4096, UNMAP_PIECE_BYTES),
            (4096 + UNMAP_PIECE_BYTES, 512),
            (1 << 40, 512)
        ]
    );
}

fn verify(compare: Option<Compare>, data_out: &[u8], found: &[u8]) -> Response {
    let request = IoRequest::Verify {
        offset_bytes: 512,
        len_bytes: found.len() as u32,
        compare,
    };
    let plan = plan(request, vec![Bytes::copy_from_slice(data_out)]);
    let read = HostOp::Read {
        offset: 512,
        len_bytes: found.len() as u32,
    };
    assert_eq!((plan.first, plan.todo.len()), (read, 0));
    let found = Bytes::copy_from_slice(found);
    plan.answer.response(HostResult::Data(found.into()))
}

#[test]
fn what_is_verified_is_compared_and_not_sent() {
    let (ones, mut other) = ([1; 1024], [1; 1024]);
    other[700] = 2;
    let miscompare = |offset| Response::check(Sense::miscompare(offset));
    assert_eq!(verify(None, &[], &other), Response::good());
    assert_eq!(verify(Some(Compare::Data), &ones, &ones), Response::good());
    assert_eq!(verify(Some(Compare::Data), &ones, &other), miscompare(700));
    assert_eq!(
        verify(Some(Compare::Block { len_bytes: 512 }), &ones[..512], &ones),
        Response::good()
    );
    assert_eq!(
        verify(
            Some(Compare::Block { len_bytes: 512 }),
            &ones[..512],
            &other
        ),
        miscompare(700 - 512)
    );
}

#[test]
fn a_verified_write_is_durable_then_read_back() {
    let request = IoRequest::WriteAndVerify {
        offset_bytes: 0,
        len_bytes: 512,
        asked_bytes: 1024,
        compare: true,
    };
    let wrote = Bytes::from(vec![7; 512]);
    let plan = plan(request, vec![wrote.clone()]);
    assert!(matches!(plan.first, HostOp::Change { fua: true, .. }));
    assert!(matches!(plan.todo[0], HostOp::Read { len_bytes: 512, .. }));
    let answered = plan.answer.response(HostResult::Data(wrote.into()));
    assert_eq!(answered, Response::good().moving(1024));
}

#[test]
fn without_a_write_cache_every_change_is_durable_before_its_answer() {
    let through = |request, data: Bytes| {
        let mut plan = plan(request, vec![data]);
        plan.write_through();
        plan
    };
    let (offset_bytes, len_bytes, asked_bytes, fua) = (0, 512, 512, false);
    let write = IoRequest::Write {
        offset_bytes,
        len_bytes,
        asked_bytes,
        fua,
    };
    let compare = IoRequest::CompareAndWrite {
        offset_bytes,
        len_bytes,
        fua,
    };
    for request in [write, compare] {
        let plan = through(request, Bytes::from(vec![7; 1024]));
        assert!(plan.todo.is_empty());
        assert!(matches!(
            plan.first,
            HostOp::Change { fua: true, .. } | HostOp::Update { fua: true, .. }
        ));
    }
    let long = through(IoRequest::Unmap(vec![(0, 512), (1024, 512)]), Bytes::new());
    assert_eq!(long.todo.len(), 2);
    assert_eq!(long.todo[1], HostOp::Flush);
    let read = IoRequest::Read {
        offset_bytes,
        len_bytes,
        fua,
    };
    let read = through(read, Bytes::new());
    assert!(matches!(read.first, HostOp::Read { .. }) && read.todo.is_empty());
    let verified = IoRequest::WriteAndVerify {
        offset_bytes,
        len_bytes,
        asked_bytes,
        compare: true,
    };
    let verified = through(verified, Bytes::from(vec![7; 512]));
    assert!(matches!(verified.todo.back(), Some(HostOp::Read { .. })));
}

#[test]
fn a_comparison_that_was_made_is_not_repeated_for_a_flush_that_is_refused() {
    let request = IoRequest::CompareAndWrite {
        offset_bytes: 0,
        len_bytes: 512,
        fua: false,
    };
    let refused = HostResult::NotReady(NotReady::Standby);
    for begun in [false, true] {
        let mut plan = plan(request.clone(), vec![Bytes::from(vec![7; 1024])]);
        if begun {
            plan.answer.done_so_far();
        }
        let expected = if begun {
            Sense::OUTCOME_UNKNOWN
        } else {
            Sense::STANDBY
        };
        let aborted = Response::task_aborted();
        let cut_short = plan.answer.cut_short(aborted.clone());
        assert_eq!(cut_short == aborted, !begun, "{cut_short:?}");
        let answered = plan.answer.response(refused.clone());
        assert_eq!(answered, Response::check(expected));
    }
}

#[test]
fn what_is_not_served_is_refused_whatever_was_asked() {
    let plan = plan(IoRequest::Flush, Vec::new());
    let refused = plan
        .answer
        .response(HostResult::NotReady(NotReady::Standby));
    assert_eq!(refused, Response::check(Sense::STANDBY));
}
