"""Lightning's Trainer."""

from __future__ import annotations


def test_checkpoints_of_lightning(tmp_path, passes) -> None:
    import lightning
    import torch
    from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
    from lightning.pytorch.loggers import CSVLogger

    class Model(lightning.LightningModule):
        def __init__(self, width: int = 4, rate: float = 1e-3) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.layer = torch.nn.Linear(width, width)

        def training_step(self, batch, _):
            loss = self.layer(batch).square().mean()
            self.log("loss", loss, on_epoch=True)
            return loss

        def configure_optimizers(self):
            adam = torch.optim.AdamW(self.parameters(), lr=self.hparams.rate)
            return {"optimizer": adam, "lr_scheduler": torch.optim.lr_scheduler.CosineAnnealingLR(adam, 4)}

    out = tmp_path / "out"
    kept = ModelCheckpoint(dirpath=out, save_last=True, save_top_k=1, monitor="loss")
    trainer = lightning.Trainer(
        max_epochs=2, accelerator="cpu", logger=CSVLogger(out),
        callbacks=[kept, EarlyStopping("loss")], enable_progress_bar=False, log_every_n_steps=1,
    )  # fmt: skip
    trainer.fit(Model(), torch.utils.data.DataLoader(torch.randn(8, 4), batch_size=4))

    assert (out / "last.ckpt").exists()
    assert list(out.rglob("hparams.yaml"))
    passes("Lightning", "`.ckpt` with optimizer, scheduler and callbacks, `hparams.yaml`, CSV logs", out)
