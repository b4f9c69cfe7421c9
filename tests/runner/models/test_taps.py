from runner.models.taps import heard, listening, tap, unheard


def test_a_listener_hears_the_taps_that_it_names_or_all():
    some, everything = [], []
    with listening(lambda *said: some.append(said), {"residual"}), listening(lambda *said: everything.append(said)):
        tap("residual", 0, "x")
        tap("mlp.hidden", 1, "h")
    tap("residual", 2, "nobody")
    assert some == [("residual", 0, "x")]
    assert everything == [("residual", 0, "x"), ("mlp.hidden", 1, "h")]


def test_what_nobody_listens_to_need_not_be_computed():
    assert not heard("strided")
    with listening(print, {"residual"}):
        assert heard("residual")
        assert not heard("strided")
        with listening(print):
            assert heard("strided")
            with unheard():
                assert not heard("strided")
            assert heard("strided")
    assert not heard("residual")
