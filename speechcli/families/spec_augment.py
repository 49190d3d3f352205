"""Configuration and builder of SpecAugment."""

from dataclasses import dataclass

from speechcli.families.config import FamilyConfig
from speechcli.nn.masks import Spans, SpecAugment


@dataclass(frozen=True, kw_only=True)
class SpecAugmentConfig(FamilyConfig):
    """What SpecAugment masks in training."""

    apply_spec_augment: bool = True
    mask_time_prob: float = 0.05
    """Approximate share of masked frames."""
    mask_time_length: int = 10
    """Length of a masked span in frames."""
    mask_time_min_masks: int = 2
    mask_feature_prob: float = 0.0
    """Approximate share of masked channels."""
    mask_feature_length: int = 10
    mask_feature_min_masks: int = 0


def spec_augment(config: SpecAugmentConfig, width: int) -> SpecAugment | None:
    """Build SpecAugment if a probability is above zero, even if it is not applied: then checkpoints have its vector."""
    if config.mask_time_prob <= 0 and config.mask_feature_prob <= 0:
        return None
    return always_spec_augment(config, width)


def always_spec_augment(config: SpecAugmentConfig, width: int | None) -> SpecAugment:
    """Build SpecAugment for checkpoints that always have its vector, or (with a width of None) never."""
    return SpecAugment(
        width,
        time=Spans(config.mask_time_prob, config.mask_time_length, config.mask_time_min_masks),
        channels=Spans(config.mask_feature_prob, config.mask_feature_length, config.mask_feature_min_masks),
        apply=config.apply_spec_augment,
    )
