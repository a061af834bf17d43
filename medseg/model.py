"""What inference takes for a trained model: one of medseg, or one of nnU-Net.

Both have a task, a plan and a hash; both build their network and prepare a scan for it.
"""

from medseg.bundle import Bundle
from medseg.nnunet_bundle import NnunetBundle

Model = Bundle | NnunetBundle
