from analysis.study import storage
from runner.training.probes import rounding


def test_bytes():
    shapes = [[10, 20], [20]]
    assert storage.stored("int8_loss", shapes) == 200 + 40 + 80
    assert storage.stored("codebook_256_loss", shapes) == 200 + 1024 + 80
    assert storage.stored("codebook_16_loss", shapes) == 100 + 64 + 80
    assert list(storage.BYTES) == [probe.name for probe in rounding.PROBES]
